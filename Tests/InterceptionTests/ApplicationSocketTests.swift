import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

@Suite struct ApplicationSocketTests {
    private func look(at socket: borrowing Descriptor, _ destination: SocketAddress) throws -> ApplicationSocket {
        try ApplicationSocket(copy: try socket.duplicate(), destination: destination)
    }

    private func obstacle(
        _ kind: Kind, to destination: SocketAddress? = nil, _ prepare: (Int32) throws -> Void = { _ in }
    ) throws -> Obstacle? {
        let socket = try tcpSocket(kind.family)
        try prepare(socket.number)
        return try look(at: socket, destination ?? kind.destination).obstacle(network: try NetworkNamespace.own())
    }

    @Test(arguments: Kind.allCases) func anOrdinarySocketHasNoObstacle(kind: Kind) throws {
        #expect(try obstacle(kind) == nil)
    }

    @Test func obstacles() throws {
        #expect(try obstacle(.v4, to: address("169.254.1.1", 80)) == .linkLocal)
        #expect(try obstacle(.v6, to: address("fe80::1", 80)) == .linkLocal)
        #expect(try obstacle(.v4, to: address("0.0.0.0", 80)) == .notOneHost)
        #expect(try obstacle(.v4, to: address("239.1.1.1", 80)) == .notOneHost)
        #expect(try obstacle(.v4, to: address("255.255.255.255", 80)) == .notOneHost)
        #expect(try obstacle(.v6, to: address("ff02::1", 80)) == .notOneHost)
        let minimum = try obstacle(.v4) { try SocketOption.set(Int32(IPPROTO_IP), IP_MINTTL, of: $0, to: Int32(255)) }
        #expect(minimum == .minimumTTL)
        let hops = try obstacle(.v6) {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_MINHOPCOUNT, of: $0, to: Int32(255))
        }
        #expect(hops == .minimumTTL)
        let only = try obstacle(.mapped) {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: $0, to: Int32(1))
        }
        #expect(only == .v6OnlyToMapped)
        let loopback = try obstacle(.v4) { _ = try LegSocket.bind($0, to: address("127.0.0.1", 0)) }
        #expect(loopback == .boundToLoopback)
        let other = try obstacle(.mapped) { _ = try LegSocket.bind($0, to: address("::1", 0)) }
        #expect(other == .boundToLoopback || other == .otherFamilyBound)
    }

    @Test func aBoundDeviceIsAnObstacle() throws {
        // Setting it is free for a socket that has none (Linux 5.7).
        let found = try obstacle(.v4) {
            try check(setsockopt($0, SOL_SOCKET, SO_BINDTODEVICE, "lo", 2))
        }
        #expect(found == .boundToDevice("lo"))
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to make a network namespace"))
    func aSocketOfAnotherNetworkIsAnObstacle() throws {
        var thread = pthread_t()
        // In a thread of its own, which takes the namespace with it when it ends.
        let failed = pthread_create(
            &thread, nil,
            { _ in
                guard unshare(CLONE_NEWNET) == 0, let made = try? tcpSocket(AF_INET) else { return nil }
                return UnsafeMutableRawPointer(bitPattern: Int(made.release()))
            }, nil)
        #expect(failed == 0)
        var result: UnsafeMutableRawPointer?
        pthread_join(thread, &result)
        let number = try #require(result.map { Int32(Int(bitPattern: $0)) }, "no namespace")
        let socket = Descriptor(owning: number)
        let obstacle = try look(at: socket, Kind.v4.destination).obstacle(network: try NetworkNamespace.own())
        #expect(obstacle == .otherNetwork)
    }

    @Test func aSocketOfTheOtherFamilyIsRefused() throws {
        let socket = try tcpSocket(AF_INET)
        #expect(throws: Errno.addressFamilyNotSupported) { _ = try look(at: socket, Kind.v6.destination) }
    }

    @Test(arguments: Kind.allCases) func theLegComesFromWhereItWasForetold(kind: Kind) throws {
        let socket = try tcpSocket(kind.family)
        try expectLeg(of: socket, to: kind.destination)
    }

    /// The leg must outlive the addresses of this machine; its name is what the application would see without it.
    @Test(arguments: Kind.allCases) func theLegIsOnLoopbackAndItsNameIsNot(kind: Kind) throws {
        let socket = try tcpSocket(kind.family)
        let leg = try look(at: socket, kind.destination).prepareLeg()
        #expect(leg.source.isLoopback && leg.source.port != 0)
        #expect(try LegSocket.localAddress(of: socket.number).unmapped == leg.source)
        let natural = try naturalAddress(for: kind.destination)?.with(port: leg.source.port)
        #expect(leg.localName.unmapped == natural ?? leg.source)
        #expect(leg.localName.family == kind.family && leg.localName.port == leg.source.port)
    }

    /// What a datagram socket's routing says, as it sends nothing; nil without a route.
    private func naturalAddress(for destination: SocketAddress) throws -> SocketAddress? {
        let target = destination.unmapped
        let probe = Descriptor(owning: try check(CLinux.socket(target.family, Int32(SOCK_DGRAM.rawValue), 0)))
        guard target.withSockaddr({ usl_connect(probe.number, $0, $1) }) == 0 else { return nil }
        return try LegSocket.localAddress(of: probe.number)
    }

    /// A refusal frees the port that was chosen, though the socket's name still has its number.
    @Test(arguments: Kind.allCases) func aRefusedSocketIsExpectedFromItsNextPort(kind: Kind) throws {
        let socket = try tcpSocket(kind.family, nonBlocking: false)
        let first = try look(at: socket, kind.destination).prepareLeg()
        let nobody = try tcpSocket(first.family)
        let refusing = try LegSocket.bind(nobody.number, to: .loopback(like: first.source.host, port: 0))
        #expect(connect(socket, to: first.spelling(of: refusing)) == ECONNREFUSED)
        try expectLeg(of: socket, to: kind.destination)
    }

    @Test func aBoundPortIsKept() throws {
        let socket = try tcpSocket(AF_INET)
        let bound = try LegSocket.bind(socket.number, to: address("127.0.0.5", 0))
        #expect(try expectLeg(of: socket, to: address("127.0.0.9", 80)) == bound)
    }

    @Test(arguments: [Kind.v4, .v6, .mapped]) func aWildcardBecomesLoopback(kind: Kind) throws {
        let socket = try tcpSocket(kind.family)
        let wildcard = kind == .v4 ? address("0.0.0.0", 0) : address("::", 0)
        let bound = try LegSocket.bind(socket.number, to: wildcard)
        let local = try expectLeg(of: socket, to: kind.destination)
        #expect(local.port == bound.port && local.isLoopback)
    }

    @Test func anAddressBoundWithoutPortGetsOne() throws {
        let socket = try tcpSocket(AF_INET)
        try SocketOption.set(Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, of: socket.number, to: Int32(1))
        _ = try LegSocket.bind(socket.number, to: address("127.0.0.5", 0))
        let local = try expectLeg(of: socket, to: address("127.0.0.9", 80))
        #expect(local.host == address("127.0.0.5", 0).host && local.port != 0)
        let option = try SocketOption.read(
            Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, of: socket.number, initial: Int32(0))
        #expect(option == 1)
    }

    @Test func theCookieIsThatOfTheSocket() throws {
        let socket = try tcpSocket(AF_INET)
        let cookie = try SocketOption.read(SOL_SOCKET, SO_COOKIE, of: socket.number, initial: UInt64(0))
        #expect(try look(at: socket, Kind.v4.destination).cookie == cookie)
    }

    /// Connects the socket to a leg listener and compares; the address from which the leg came.
    @discardableResult
    private func expectLeg(of socket: borrowing Descriptor, to destination: SocketAddress) throws -> SocketAddress {
        let expected = try look(at: socket, destination).prepareLeg()
        let local = expected.source
        let listener = try LegListener(family: expected.family)
        #expect([0, EINPROGRESS].contains(connect(socket, to: expected.spelling(of: listener.address))))
        try wait(listener.descriptor.number, for: POLLIN)
        #expect(try listener.accept()?.application == local)
        #expect(try LegSocket.localAddress(of: socket.number).unmapped == local)
        return local
    }
}
