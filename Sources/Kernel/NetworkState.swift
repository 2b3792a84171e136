/// The interfaces of this machine and their addresses, as the kernel's messages have told of them so far.
public struct NetworkState: Equatable, Sendable {
    struct Interface: Equatable, Sendable {
        var name: String
        var isUsable: Bool
        /// Its addresses, and whether they are usable.
        var addresses: [SocketAddress.Host: Bool]

        var hasFarAddress: Bool { addresses.keys.contains { !$0.isLinkLocal } }
    }

    private var interfaces: [UInt32: Interface] = [:]

    public init() {}

    /// Notes what a message tells.
    ///
    /// - Returns: whether that may concern a link. The kernel repeats itself, say with each router advertisement; and each
    ///   container that starts brings an interface, though no address that leads anywhere.
    public mutating func apply(_ message: RouteMessage) -> Bool {
        switch message {
        case .interface(let index, let name, let isUsable):
            let old = interfaces[index]
            interfaces[index] = Interface(name: name, isUsable: isUsable, addresses: old?.addresses ?? [:])
            guard let old, old.hasFarAddress else { return false }
            return old.name != name || old.isUsable != isUsable
        case .interfaceGone(let index):
            return interfaces.removeValue(forKey: index)?.hasFarAddress ?? false
        case .address(let host, let index, let isUsable):
            let old = interfaces[index]?.addresses.updateValue(isUsable, forKey: host) ?? false
            return isUsable != old && !host.isLinkLocal
        case .addressGone(let host, let index):
            return interfaces[index]?.addresses.removeValue(forKey: host) != nil && !host.isLinkLocal
        case .routes: return true
        case .done, .failed: return false
        }
    }

    // MARK: - Questions

    /// Names of all interfaces, in alphabetical order.
    public var interfaceNames: [String] { interfaces.values.map(\.name).sorted() }

    /// Whether this machine has the address, usable or not.
    public func has(_ host: SocketAddress.Host) -> Bool {
        interfaces.values.contains { $0.addresses[host] != nil }
    }

    /// Whether packets can leave from this address now: it is usable, and so is its interface.
    public func isUsable(_ host: SocketAddress.Host) -> Bool {
        interfaces.values.contains { $0.isUsable && $0.addresses[host] == true }
    }

    /// The addresses from which packets can leave through an interface now, IPv4 first; none if there is no such interface.
    /// Link-local ones do not count: they lead to no gateway on another network.
    public func usableAddresses(ofInterface name: String) -> [SocketAddress.Host] {
        guard let interface = interfaces.values.first(where: { $0.name == name }), interface.isUsable else { return [] }
        return interface.addresses.filter(\.value).keys
            .filter { !$0.isLinkLocal }
            .sorted { ($0.sortKey, $0.description) < ($1.sortKey, $1.description) }
    }
}

extension SocketAddress.Host {
    fileprivate var isLinkLocal: Bool { SocketAddress(host: self, port: 0).isLinkLocal }

    fileprivate var sortKey: Int {
        switch self {
        case .v4: 0
        case .v6: 1
        }
    }
}
