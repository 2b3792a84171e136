/// Interfaces that come and go, and addresses that change.
extension Host {
    private func network(_ interface: Int) -> LabNetwork { LabNetwork(host: number, interface: interface) }

    /// The host's address on an interface, as the lab has made it.
    public func address(_ interface: Int) -> String { network(interface).address }

    /// Takes an interface down, as a person or a daemon does: its routes go, and its IPv6 addresses too.
    public func takeDown(_ interface: Int = 0) throws(LabError) {
        try configure(.ip, ["link", "set", network(interface).hostInterface, "down"])
    }

    /// Brings an interface up again, with its addresses and routes.
    ///
    /// - Parameter end: the last part of its addresses; 2 unless it has been renumbered.
    public func bringUp(_ interface: Int = 0, end: Int = 2) throws(LabError) {
        try configure(.ip, ["-batch", "-"], input: network(interface).hostAddresses(end))
    }

    /// Takes an interface's addresses away, and its routes with them.
    public func removeAddresses(_ interface: Int = 0) throws(LabError) {
        try configure(.ip, ["address", "flush", "dev", network(interface).hostInterface, "scope", "global"])
    }

    /// Takes an interface's addresses away, and its routes with them; gives it others instead.
    ///
    /// - Parameter end: the last part of the new addresses, on the same networks.
    public func renumber(_ interface: Int = 0, to end: Int) throws(LabError) {
        let network = network(interface)
        try configure(
            .ip, ["-batch", "-"],
            input: "address flush dev \(network.hostInterface) scope global\n" + network.hostAddresses(end))
    }
}

/// What a kernel does by default differs from host to host.
extension Host {
    /// Lets the host's kernel dial with TCP Fast Open, and take it at listeners that ask for it.
    public func takeFastOpen() throws(LabError) {
        try succeed(["/bin/sh", "-c", "echo 3 > /proc/sys/net/ipv4/tcp_fastopen"])
    }
}
