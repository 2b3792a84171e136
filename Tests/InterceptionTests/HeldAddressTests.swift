import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

@Suite struct HeldAddressTests {
    /// An application's socket, ready for the held address.
    private struct Application: ~Copyable {
        let socket: Descriptor
        /// Where it is to connect.
        let target: SocketAddress
        /// Where its leg comes from.
        let local: SocketAddress

        init(_ kind: Kind, _ held: borrowing HeldAddress) throws {
            let socket = try tcpSocket(kind.family)
            let copy = try ApplicationSocket(copy: try socket.duplicate(), destination: kind.destination)
            let expected = try copy.prepareLeg()
            local = expected.source
            target = expected.spelling(of: held.address)
            self.socket = socket
        }

        func expectSilence() {
            var entry = pollfd(fd: socket.number, events: Int16(POLLOUT | POLLIN), revents: 0)
            #expect(poll(&entry, 1, 50) == 0, "the held address has answered")
        }
    }

    private func held(for kind: Kind) throws -> HeldAddress {
        try HeldAddress(family: kind.destination.unmapped.family)
    }

    private func release(_ held: inout HeldAddress, to application: SocketAddress) throws {
        if try held.release(to: application, isMultipath: false) != nil { try held.meetApplication() }
    }

    private func leg(from held: inout HeldAddress) throws -> Leg {
        while true {
            try wait(held.releaseDescriptor, for: POLLIN)
            if let leg = try held.takeLeg() { return leg }
        }
    }

    private func expectConversation(_ application: borrowing Application, _ leg: borrowing Leg) throws {
        #expect(try connectError(of: application.socket) == 0)
        #expect(leg.application == application.local)
        try write("verdict", to: leg.descriptor)
        try wait(application.socket.number, for: POLLIN)
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(recv(application.socket.number, &bytes, bytes.count, 0) == 7)
    }

    @Test(arguments: Kind.allCases) func releaseAfterConnect(kind: Kind) throws {
        var held = try held(for: kind)
        let application = try Application(kind, held)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        application.expectSilence()
        try release(&held, to: application.local)
        try expectConversation(application, leg(from: &held))
    }

    @Test(arguments: Kind.allCases) func releaseBeforeConnect(kind: Kind) throws {
        var held = try held(for: kind)
        let application = try Application(kind, held)
        try release(&held, to: application.local)
        #expect(try held.takeLeg() == nil)
        #expect([0, EINPROGRESS].contains(connect(application.socket, to: application.target)))
        try expectConversation(application, leg(from: &held))
    }

    @Test(arguments: Kind.allCases) func refusal(kind: Kind) throws {
        let held = try held(for: kind)
        let application = try Application(kind, held)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        application.expectSilence()
        held.refuse()
        #expect(try connectError(of: application.socket) == ECONNREFUSED)
    }

    @Test func refusalBeforeConnect() throws {
        let held = try held(for: .v4)
        let application = try Application(.v4, held)
        held.refuse()
        var result = connect(application.socket, to: application.target)
        if result == EINPROGRESS { result = try connectError(of: application.socket) }
        #expect(result == ECONNREFUSED)
    }

    @Test func aStrangersSYNDoesNotMisleadTheRelease() throws {
        var held = try held(for: .v4)
        let application = try Application(.v4, held)
        let stranger = try tcpSocket(AF_INET)
        #expect(connect(stranger, to: held.address) == EINPROGRESS)
        // The counter says that a SYN was dropped, but the application has not connected: the simultaneous open fails.
        try release(&held, to: application.local)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        try expectConversation(application, leg(from: &held))
    }

    @Test func aStrangerIsNotTakenForTheApplication() throws {
        var held = try held(for: .v4)
        let application = try Application(.v4, held)
        try release(&held, to: application.local)
        let stranger = try tcpSocket(AF_INET)
        #expect([0, EINPROGRESS].contains(connect(stranger, to: held.address)))
        #expect(try connectError(of: stranger) == 0)
        #expect(try held.takeLeg() == nil)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        try expectConversation(application, leg(from: &held))
    }

    /// Ends a held address as a killed agent does, and goes on with what is left of it: a copy of its listener.
    private func successor(of held: consuming HeldAddress) throws -> HeldAddress {
        let copy = Descriptor(owning: try check(usl_fcntl(held.listenerNumber, F_DUPFD_CLOEXEC, 0)))
        held.refuse()
        return try HeldAddress(adopting: copy)
    }

    @Test(arguments: Kind.allCases) func anotherProcessReleases(kind: Kind) throws {
        let first = try held(for: kind)
        let application = try Application(kind, first)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        let address = first.address
        var held = try successor(of: first)
        #expect(held.address == address)
        // One that connects only now is held as well.
        let late = try Application(kind, held)
        #expect(connect(late.socket, to: late.target) == EINPROGRESS)
        application.expectSilence()
        late.expectSilence()
        try release(&held, to: application.local)
        try expectConversation(application, leg(from: &held))
    }

    @Test(arguments: Kind.allCases) func anotherProcessReleasesBeforeConnect(kind: Kind) throws {
        var held = try successor(of: try held(for: kind))
        let application = try Application(kind, held)
        try release(&held, to: application.local)
        #expect([0, EINPROGRESS].contains(connect(application.socket, to: application.target)))
        try expectConversation(application, leg(from: &held))
    }

    @Test(arguments: [false, true]) func aProcessDiesWhileItReleases(called: Bool) throws {
        var first = try held(for: .v4)
        let application = try Application(.v4, first)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        let opener = try first.release(to: application.local, isMultipath: false)
        let copy = Descriptor(owning: try check(usl_fcntl(try #require(opener), F_DUPFD_CLOEXEC, 0)))
        if called { try first.meetApplication() }
        var held = try successor(of: first)
        if called {
            // The leg is established, and was in escrow before it could be.
            let leg = Leg(descriptor: copy, application: application.local)
            try expectConversation(application, leg)
        } else {
            _ = consume copy
            application.expectSilence()
            try release(&held, to: application.local)
            try expectConversation(application, leg(from: &held))
        }
    }

    @Test func theLegIsBornWithLingerZeroAndReno() throws {
        var held = try held(for: .v4)
        let application = try Application(.v4, held)
        #expect(connect(application.socket, to: application.target) == EINPROGRESS)
        try release(&held, to: application.local)
        let leg = try leg(from: &held)
        try expectLegOptions(leg)
    }
}

/// What every leg must have: a reset when it dies, and the fast congestion control of loopback.
func expectLegOptions(_ leg: borrowing Leg) throws {
    let lingering = try SocketOption.read(SOL_SOCKET, SO_LINGER, of: leg.descriptor.number, initial: linger())
    #expect(lingering.l_onoff == 1 && lingering.l_linger == 0)
    var name = [CChar](repeating: 0, count: 16)
    var length = socklen_t(name.count)
    try check(getsockopt(leg.descriptor.number, Int32(IPPROTO_TCP), TCP_CONGESTION, &name, &length))
    #expect(String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self) == "reno")
    #expect(usl_fcntl(leg.descriptor.number, F_GETFL, 0) & O_NONBLOCK != 0)
}
