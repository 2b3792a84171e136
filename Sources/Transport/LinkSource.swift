import CLinux
public import Kernel

/// Where an opener's links begin: one of its paths.
public enum LinkSource: Hashable, Sendable, CustomStringConvertible {
    /// Wherever routing says, anew for each link.
    case anywhere
    /// At this address; by which interface packets leave is up to routing.
    case address(SocketAddress.Host)
    /// At this interface, with whatever address it has when a link is made.
    case interface(String)

    /// Reads an address or the name of an interface; nil for what can be neither.
    public init?(_ text: String) {
        if let host = SocketAddress.Host(numeric: text) {
            self = .address(host)
            return
        }
        // What the kernel takes for a name (in the kernel, dev_valid_name).
        guard (1..<Int(IFNAMSIZ)).contains(text.utf8.count), text != ".", text != "..",
            text.allSatisfy({ $0 != "/" && $0 != ":" && !$0.isWhitespace })
        else { return nil }
        self = .interface(text)
    }

    public var description: String {
        switch self {
        case .anywhere: "anywhere"
        case .address(let host): host.description
        case .interface(let name): name
        }
    }

    /// Whether this machine has it, usable or not.
    public func exists(in state: NetworkState) -> Bool {
        switch self {
        case .anywhere: true
        case .address(let host): state.has(host)
        case .interface(let name): state.interfaceNames.contains(name)
        }
    }

    /// Whether a link can begin there now.
    public func isUsable(in state: NetworkState) -> Bool {
        switch self {
        case .anywhere: true
        case .address(let host): state.isUsable(host)
        case .interface(let name): !state.usableAddresses(ofInterface: name).isEmpty
        }
    }

    /// Whether a link from there can lead to a destination, as far as families of addresses go.
    public func suits(_ destination: SocketAddress) -> Bool {
        guard case .address(let host) = self else { return true }
        return SocketAddress(host: host, port: 0).family == destination.family
    }
}
