/// The interfaces of this machine and their addresses, as the kernel's messages have told of them so far.
public struct NetworkState: Equatable, Sendable {
    struct Interface: Equatable, Sendable {
        var name: String
        var isUsable: Bool
        var addresses: [SocketAddress.Host: AddressTraits]

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
        case .address(let host, let index, let traits):
            let old = interfaces[index]?.addresses.updateValue(traits, forKey: host)
            return traits.isUsable != (old?.isUsable ?? false) && !host.isLinkLocal
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
        interfaces.values.contains { $0.isUsable && $0.addresses[host]?.isUsable == true }
    }

    /// An address of this machine from which packets can leave now.
    public struct Source: Hashable, Sendable {
        public let host: SocketAddress.Host
        public let interface: UInt32
        public let traits: AddressTraits
    }

    /// All of them, link-local ones too, in an order that stays the same.
    public var usableSources: [Source] {
        interfaces.filter(\.value.isUsable).flatMap { index, interface in
            interface.addresses.filter(\.value.isUsable).map { Source(host: $0, interface: index, traits: $1) }
        }.sorted {
            ($0.interface, $0.host.sortKey, $0.host.description) < ($1.interface, $1.host.sortKey, $1.host.description)
        }
    }

    /// The addresses from which packets can leave through an interface now, IPv4 first; none if there is no such interface.
    /// Link-local ones do not count: they lead to no gateway on another network.
    public func usableAddresses(ofInterface name: String) -> [SocketAddress.Host] {
        guard let interface = interfaces.values.first(where: { $0.name == name }), interface.isUsable else { return [] }
        return interface.addresses.filter(\.value.isUsable).keys
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
