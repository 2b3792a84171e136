/// An address of this machine, usable as the source of a connection.
public struct LocalAddress: Hashable, Sendable {
    /// A link-local IPv6 address has its interface in it.
    public let address: IPAddress
    /// Bits of the address that name its network: 24 of 192.0.2.1/24.
    public let prefixLength: Int
    /// The index of its interface.
    public let interface: UInt32
    /// Its preferred lifetime is over (RFC 4862, section 5.5.4): to be used by what uses it already.
    public let isDeprecated: Bool
    /// Made for privacy and to be replaced before long (RFC 8981).
    public let isTemporary: Bool

    public init(
        address: IPAddress, prefixLength: Int, interface: UInt32, isDeprecated: Bool = false, isTemporary: Bool = false
    ) {
        self.address = address
        self.prefixLength = prefixLength
        self.interface = interface
        self.isDeprecated = isDeprecated
        self.isTemporary = isTemporary
    }

    /// One that the kernel named and that is not on the list, say as it came in between: alone on its network.
    init(onlyKnownAs address: IPAddress) {
        let length =
            switch address.family {
            case .v4: 32
            case .v6: 128
            }
        self.init(address: address, prefixLength: length, interface: 0)
    }

    /// The prefix in bits of the mapped form.
    private var prefixBits: Int {
        switch address.family {
        case .v4: 96 + prefixLength
        case .v6: prefixLength
        }
    }

    /// CommonPrefixLen of RFC 6724, section 2.2: it counts no bits behind the prefix of the source.
    func commonPrefix(with destination: IPAddress) -> Int {
        min(address.commonBits(with: destination), prefixBits)
    }

    /// Whether an address is on this one's own network, with no router between.
    func isNeighbour(of destination: IPAddress) -> Bool { commonPrefix(with: destination) == prefixBits }

    /// Whether packets from both take the same way, as far as this machine can tell.
    func sharesNetwork(with other: LocalAddress) -> Bool {
        interface == other.interface && address.family == other.address.family && isNeighbour(of: other.address)
    }
}
