import CLinux
public import Kernel
public import SystemPackage

/// The agent's copy of a socket that an application is about to connect.
///
/// End it before the answer leaves: as long as the copy exists, the application's close() sends no FIN.
public struct ApplicationSocket: ~Copyable, Sendable {
    private let descriptor: Descriptor
    var number: Int32 { descriptor.number }
    /// What the application asked for, in its own spelling: possibly an IPv4-mapped IPv6 address.
    public let destination: SocketAddress
    /// The kernel's identity of the socket (`SO_COOKIE`), the same in every process that holds it.
    public let cookie: UInt64
    /// `AF_INET` or `AF_INET6`.
    let family: Int32
    /// From bind(2): the wildcard and port 0 if the application did not call it.
    let bound: SocketAddress

    /// A socket that its application is about to connect.
    ///
    /// - Throws: `EAFNOSUPPORT` if it is no socket for that destination.
    public init(copy descriptor: consuming Descriptor, destination: SocketAddress) throws(Errno) {
        let bound = try Self.boundAddress(of: descriptor.number)
        try self.init(descriptor, destination, bound: bound)
    }

    /// The same again, when an attempt was made meanwhile.
    ///
    /// - Parameters:
    ///   - hasOwnHost: false if the address that the socket has, if any, is one that the kernel chose for an attempt: under
    ///     Multipath TCP it shows even when the attempt is over.
    ///   - hasOwnPort: the same of the port, which always shows.
    public init(
        copy descriptor: consuming Descriptor, destination: SocketAddress, hasOwnHost: Bool, hasOwnPort: Bool
    ) throws(Errno) {
        let shown = try LegSocket.localAddress(of: descriptor.number)
        let host = hasOwnHost ? shown.host : shown.host.wildcard
        try self.init(descriptor, destination, bound: SocketAddress(host: host, port: hasOwnPort ? shown.port : 0))
    }

    private init(
        _ descriptor: consuming Descriptor, _ destination: SocketAddress, bound: SocketAddress
    ) throws(Errno) {
        let number = descriptor.number
        let family = try SocketOption.read(SOL_SOCKET, SO_DOMAIN, of: number, initial: Int32(0))
        let cookie = try SocketOption.read(SOL_SOCKET, SO_COOKIE, of: number, initial: UInt64(0))
        guard family == destination.family else { throw .addressFamilyNotSupported }
        self.bound = bound
        self.family = family
        self.cookie = cookie
        self.destination = destination
        self.descriptor = descriptor
    }

    /// What a socket is bound to.
    ///
    /// One that was connected, or refused, and was not bound by its program, has no port any more, but shows it still (in the
    /// kernel, inet_put_port leaves `inet_sport`). bind(2) alone says whether it has: `EINVAL` if it has. With
    /// `IP_BIND_ADDRESS_NO_PORT` it changes nothing then but what is shown. A loopback address that was given for a leg which is over
    /// goes with the port: see `bindSource`.
    private static func boundAddress(of socket: Int32) throws(Errno) -> SocketAddress {
        let shown = try LegSocket.localAddress(of: socket)
        guard shown.port != 0, let later = try? SocketOption.bindsLater(socket) else { return shown }
        let host = later && shown.unmapped.isLoopback ? shown.host.wildcard : shown.host
        // Refused where a connection is under way, under Multipath TCP: then the port is there.
        guard (try? SocketOption.setBindsLater(true, of: socket)) != nil else { return shown }
        defer { if !later { try? SocketOption.setBindsLater(false, of: socket) } }
        guard let bound = try? LegSocket.bind(socket, to: SocketAddress(host: host, port: 0)) else { return shown }
        return bound.with(port: 0)
    }

    /// Whether it has this port.
    public func isBound(to port: UInt16) -> Bool { bound.port == port }

    consuming func intoDescriptor() -> Descriptor { descriptor }

    /// Why this connection can not run over a leg on loopback; nil if it can.
    ///
    /// - Parameter network: the agent's own, from `NetworkNamespace.own()`.
    public borrowing func obstacle(network: NetworkNamespace?) -> Obstacle? {
        let number = descriptor.number
        let ip = Int32(IPPROTO_IP)
        let ipv6 = Int32(IPPROTO_IPV6)
        if let network, let other = NetworkNamespace(of: number), other != network { return .otherNetwork }
        if destination.isLinkLocal || bound.isLinkLocal { return .linkLocal }
        if destination.isWildcard || destination.isMulticast { return .notOneHost }
        if let device = boundDevice() { return .boundToDevice(device) }
        if bound.unmapped.isLoopback && !destination.isLoopback && !isPrepared { return .boundToLoopback }
        if let minimum = try? SocketOption.read(ip, IP_MINTTL, of: number, initial: Int32(0)), minimum > 0 {
            return .minimumTTL
        }
        guard family == AF_INET6 else { return nil }
        if let minimum = try? SocketOption.read(ipv6, IPV6_MINHOPCOUNT, of: number, initial: Int32(0)), minimum > 0 {
            return .minimumTTL
        }
        let isMapped = destination.isMapped
        if isMapped, (try? SocketOption.read(ipv6, IPV6_V6ONLY, of: number, initial: Int32(0))) != 0 {
            return .v6OnlyToMapped
        }
        if !bound.isWildcard, (bound.unmapped.family == AF_INET) != isMapped { return .otherFamilyBound }
        return nil
    }

    /// Gives the socket a local address, as far as the application has not done so, by which its leg can be recognised;
    /// and readies it for loopback.
    ///
    /// - Returns: what to know once this copy is closed.
    public consuming func prepareLeg() throws(Errno) -> ExpectedLeg {
        SocketOption.setReno(of: descriptor.number)
        SocketOption.connectAtOnce(descriptor.number)
        let proof = try LegProof(of: descriptor.number, hasPort: bound.port != 0)
        return ExpectedLeg(source: try bindSource(), destination: destination, cookie: cookie, proof: proof)
    }

    /// The address from which the leg will come, never IPv4-mapped.
    private borrowing func bindSource() throws(Errno) -> SocketAddress {
        let loopback = SocketAddress.loopback(like: destination.unmapped.host, port: bound.port)
        // An address of the network would take the leg with it when this machine loses it: the kernel sends nothing from or
        // to an address that is not its own, on loopback neither.
        let source: SocketAddress
        do throws(Errno) {
            source = try bindPort(at: bound.isWildcard ? loopback : bound)
        } catch .invalidArgument where bound.port != 0 {
            // The port is bound (bind(2)). Where it is not, its number alone is left of an attempt that has failed: the kernel
            // lets go of a port that it has chosen itself, and chooses another for the next attempt (in it, tcp_set_state).
            // On loopback, the kernel fills a wildcard in with the loopback address.
            return bound.isWildcard ? loopback : bound.unmapped
        }
        guard bound.isWildcard else { return source }
        // A port that was chosen, though the socket leaves that to connect(2): nobody else does that, and so the next agent
        // will know that it was not the application who wanted loopback.
        try SocketOption.setBindsLater(true, of: descriptor.number)
        return source
    }

    /// Binds to a free port of `address`, now: `IP_BIND_ADDRESS_NO_PORT` would leave the choice to connect(2).
    private borrowing func bindPort(at address: SocketAddress) throws(Errno) -> SocketAddress {
        let number = descriptor.number
        let later = try SocketOption.bindsLater(number)
        if later { try SocketOption.setBindsLater(false, of: number) }
        defer { if later { try? SocketOption.setBindsLater(true, of: number) } }
        let wanted = address.unmapped.with(port: 0)
        return try LegSocket.bind(number, to: destination.isMapped ? wanted.mapped : wanted).unmapped
    }

    /// Whether an agent that has died since has bound the socket: see `bindSource`.
    private var isPrepared: Bool { bound.port != 0 && (try? SocketOption.bindsLater(number)) != false }

    /// The interface of `SO_BINDTODEVICE`.
    private borrowing func boundDevice() -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        var length = socklen_t(name.count)
        guard getsockopt(descriptor.number, SOL_SOCKET, SO_BINDTODEVICE, &name, &length) == 0, length > 1 else {
            return nil
        }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}

/// The leg of an application's socket, from before it connects.
public struct ExpectedLeg: Hashable, Sendable {
    /// The address from which the leg will come, as its listener will see it: never IPv4-mapped.
    public let source: SocketAddress
    /// What the application asked for, in its own spelling.
    public let destination: SocketAddress
    /// The kernel's identity of the application's socket (`SO_COOKIE`).
    public let cookie: UInt64
    /// How the socket is known from others that come from there.
    public let proof: LegProof

    public init(source: SocketAddress, destination: SocketAddress, cookie: UInt64, proof: LegProof) {
        self.source = source
        self.destination = destination
        self.cookie = cookie
        self.proof = proof
    }

    /// Whether the application's socket is one of Multipath TCP.
    public var isMultipath: Bool { proof != .cookie }

    /// The family of the leg: IPv4 also for an IPv4-mapped destination.
    public var family: Int32 { destination.unmapped.family }

    /// A loopback address of that family, as the application's socket must spell it to connect there.
    public func spelling(of leg: SocketAddress) -> SocketAddress { destination.isMapped ? leg.mapped : leg }

    /// The local address that the application's socket would have now without USL, as it must spell it: what getsockname(2)
    /// shall tell. The leg's own, if the kernel knows no way to the destination.
    public var localName: SocketAddress {
        guard source.isLoopback, let natural = try? destination.unmapped.naturalSource() else {
            return spelling(of: source)
        }
        return spelling(of: natural.with(port: source.port))
    }
}

extension SocketAddress {
    /// The source address that the kernel's routes choose for this destination. Nothing is sent.
    public func naturalSource() throws(Errno) -> SocketAddress {
        let probe = Descriptor(
            owning: try check(socket(family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)))
        let number = probe.number
        try withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(usl_connect(number, pointer, length))
        }
        return try LegSocket.localAddress(of: number)
    }

    /// Whether this is an IPv4-mapped IPv6 address.
    public var isMapped: Bool { unmapped.family != family }

    /// `::ffff:a.b.c.d` for an IPv4 address (RFC 4291, 2.5.5.2), else the address itself.
    public var mapped: SocketAddress {
        guard case .v4(let address) = host else { return self }
        return SocketAddress(host: .v6(high: 0, low: 0xffff << 32 | UInt64(address), scope: 0), port: port)
    }

    /// Multicast, or IPv4's limited broadcast.
    fileprivate var isMulticast: Bool {
        switch unmapped.host {
        case .v4(let address): address >> 28 == 0xe || address == .max
        case .v6(let high, _, _): high >> 56 == 0xff
        }
    }
}
