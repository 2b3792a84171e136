import CLinux
public import Kernel

/// What a gateway may connect to, by the addresses that openers ask for. An empty list allows nothing.
public struct AllowList: Sendable {
    private let targets: [AllowedTarget]

    public init(_ targets: [AllowedTarget]) { self.targets = targets }

    public var isEmpty: Bool { targets.isEmpty }

    /// Where to connect for a destination that an opener asks for; nil if it is not allowed.
    ///
    /// - Parameter ownAddresses: those of this host, fetched only if a rule needs them.
    public func address(for destination: SocketAddress, ownAddresses: () -> Set<SocketAddress.Host>) -> SocketAddress? {
        let asked = destination.unmapped
        for target in targets where target.ports.contains(asked.port) {
            switch target.host {
            case .any: return asked
            case .network(let network) where network.contains(asked.host): return asked
            case .loopback(let spelling) where asked.isLoopback || ownAddresses().contains(asked.host):
                return SocketAddress(host: spelling, port: asked.port)
            case .network, .loopback: continue
            }
        }
        return nil
    }

    /// Why a destination that no rule has is refused: what it was, and the rule that comes nearest to it. Not all of them, since
    /// who asks has proven nothing.
    public func refusal(of destination: SocketAddress) -> String {
        let asked = destination.unmapped
        // Another port of the host is nearer than the same port elsewhere.
        let sameHost = targets.filter { $0.host.has(asked.host) }.min {
            $0.distance(to: asked.port) < $1.distance(to: asked.port)
        }
        let nearest = sameHost ?? targets.first { $0.ports.contains(asked.port) } ?? targets.first
        let hint = nearest.map { "the nearest rule is --allow \($0.text)" } ?? "it allows nothing"
        return "the gateway does not allow \(asked); \(hint)"
    }

    /// The addresses of this host's interfaces.
    public static func hostAddresses() -> Set<SocketAddress.Host> {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var hosts: Set<SocketAddress.Host> = []
        var entry = first
        while let current = entry {
            if let address = current.pointee.ifa_addr,
                let known = SocketAddress(address, length: socklen_t(MemoryLayout<sockaddr_in6>.size))
            {
                hosts.insert(known.host)
            }
            entry = current.pointee.ifa_next
        }
        return hosts
    }
}

/// One `--allow`: `HOST:PORT`, `[V6]:PORT`, `CIDR:PORT` or `*:PORT`, with the port as `N` or `N-M`.
public struct AllowedTarget: Sendable, Equatable {
    enum Host: Sendable, Equatable {
        case any
        case network(Network)
        /// Any address of this host is meant, and the connection made to this one.
        case loopback(SocketAddress.Host)

        /// Whether an address is one of these, as far as that can be told without asking which addresses this host has.
        func has(_ address: SocketAddress.Host) -> Bool {
            switch self {
            case .any: true
            case .network(let network): network.contains(address)
            case .loopback: SocketAddress(host: address, port: 0).isLoopback
            }
        }
    }

    let host: Host
    let ports: ClosedRange<UInt16>
    /// As it was written.
    let text: String

    /// How many ports lie between one and those that are allowed.
    func distance(to port: UInt16) -> UInt16 {
        port < ports.lowerBound ? ports.lowerBound - port : port > ports.upperBound ? port - ports.upperBound : 0
    }

    /// The targets of one argument: as many as its name has addresses.
    public static func parse(_ text: String) throws(AllowError) -> [AllowedTarget] {
        guard let colon = text.lastIndex(of: ":") else {
            throw AllowError(text: text, reason: "a target is HOST:PORT, CIDR:PORT or *:PORT")
        }
        guard let ports = parsePorts(text[text.index(after: colon)...]) else {
            throw AllowError(text: text, reason: "the port must be a number from 1 to 65535, or two as N-M")
        }
        var name = String(text[..<colon])
        if name == "*" { return [AllowedTarget(host: .any, ports: ports, text: text)] }
        if name.hasPrefix("["), name.hasSuffix("]") {
            name = String(name.dropFirst().dropLast())
        } else if name.contains(":") {
            throw AllowError(text: text, reason: "an IPv6 address stands in brackets, as [\(name)]:\(ports.lowerBound)")
        }
        if let slash = name.firstIndex(of: "/") {
            guard let base = SocketAddress.Host(numeric: String(name[..<slash])),
                let length: UInt8 = decimal(name[name.index(after: slash)...]),
                let network = Network(base, prefix: length)
            else { throw AllowError(text: text, reason: "'\(name)' is no network in CIDR form") }
            return [AllowedTarget(host: .network(network), ports: ports, text: text)]
        }
        do {
            let addresses = try HostPort(host: name, port: ports.lowerBound).resolve()
            return Set(addresses.map(\.host)).map { AllowedTarget(host: kind(of: $0), ports: ports, text: text) }
        } catch {
            throw AllowError(text: text, reason: error.description)
        }
    }

    private static func kind(of host: SocketAddress.Host) -> Host {
        let address = SocketAddress(host: host, port: 0).unmapped
        return address.isLoopback ? .loopback(address.host) : .network(Network(exactly: address.host))
    }

    private static func parsePorts(_ text: Substring) -> ClosedRange<UInt16>? {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first: UInt16 = decimal(ends[0]), let last: UInt16 = decimal(ends[ends.count - 1]), first > 0,
            first <= last
        else { return nil }
        return first...last
    }

    /// A number in digits alone: `UInt16.init` would take a sign as well.
    private static func decimal<Number: FixedWidthInteger>(_ text: Substring) -> Number? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Number(text) : nil
    }
}

/// An argument of `--allow` that names no target.
public struct AllowError: Error, CustomStringConvertible, Sendable {
    let text: String
    let reason: String
    public var description: String { "--allow \(text): \(reason)" }
}

/// An IPv4 or IPv6 network.
struct Network: Sendable, Equatable {
    private let base: SocketAddress.Host
    private let prefix: UInt8

    init(exactly host: SocketAddress.Host) {
        base = host
        switch host {
        case .v4: prefix = 32
        case .v6: prefix = 128
        }
    }

    /// nil if the prefix is longer than an address.
    init?(_ base: SocketAddress.Host, prefix: UInt8) {
        switch base {
        case .v4: guard prefix <= 32 else { return nil }
        case .v6: guard prefix <= 128 else { return nil }
        }
        self.base = base
        self.prefix = prefix
    }

    func contains(_ host: SocketAddress.Host) -> Bool {
        switch (base, host) {
        case (.v4(let base), .v4(let address)):
            return (base ^ address) >> (32 - UInt32(prefix)) == 0
        case (.v6(let baseHigh, let baseLow, _), .v6(let high, let low, _)):
            let (highBits, lowBits) = (UInt64(min(prefix, 64)), UInt64(max(prefix, 64) - 64))
            return (baseHigh ^ high) >> (64 - highBits) == 0 && (baseLow ^ low) >> (64 - lowBits) == 0
        case (.v4, .v6), (.v6, .v4): return false
        }
    }
}
