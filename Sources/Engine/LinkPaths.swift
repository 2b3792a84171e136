public import Kernel
public import SessionProtocol
public import Transport

/// The ways from an opener to its acceptor, and what several links on them are for.
public struct LinkPaths: Sendable {
    /// Most sources that one session can have; each that is usable has a link.
    public static let maximumSources = 8

    /// Where the acceptor may be reached, tried in turn.
    public var gateways: [SocketAddress]
    /// Where links begin: a path for each.
    public var sources: [LinkSource]
    public var mode: LinkMode
    public var transport: LinkTransport

    public init(
        to gateways: [SocketAddress], from sources: [LinkSource] = [.anywhere], mode: LinkMode = .failover,
        transport: LinkTransport = .tcp
    ) {
        precondition(!gateways.isEmpty && (1...Self.maximumSources).contains(sources.count), "no path")
        self.gateways = gateways
        self.sources = sources
        self.mode = mode
        self.transport = transport
        next = Array(repeating: 0, count: sources.count)
    }

    /// Which gateway the next link on each path tries.
    private var next: [Int]

    /// The paths whose source is usable; all of them, if nothing is known of the network.
    func usable(in state: NetworkState?) -> [PathID] {
        sources.indices.filter { state.map(sources[$0].isUsable) ?? true }.map { PathID(UInt8($0)) }
    }

    func source(of path: PathID) -> LinkSource { sources[Int(path.value)] }

    /// Where the next link on a path shall lead; nil if its source has no family of addresses in common with a gateway.
    mutating func nextGateway(on path: PathID) -> SocketAddress? {
        let index = Int(path.value)
        for _ in gateways {
            let gateway = gateways[next[index] % gateways.count]
            next[index] = (next[index] + 1) % gateways.count
            if sources[index].suits(gateway) { return gateway }
        }
        return nil
    }

    /// A gateway that has answered is the first to be tried again.
    mutating func connected(to gateway: SocketAddress, on path: PathID) {
        if let index = gateways.firstIndex(of: gateway) { next[Int(path.value)] = index }
    }
}
