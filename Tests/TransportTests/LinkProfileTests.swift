import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

private let presets: [LinkProfile] = [.leg, .local, .wan, .interactive, .bulk]

@Suite struct LinkProfileTests {
    private func option(_ socket: borrowing TCPSocket, _ name: Int32) -> Int32 {
        var value: Int32 = -1
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(socket.number, Int32(IPPROTO_TCP), name, &value, &length)
        return value
    }

    /// Only the two newest options may be without effect, on kernels before 6.15.
    @Test(arguments: presets) func takesEffect(profile: LinkProfile) throws {
        let socket = try TCPSocket(family: AF_INET)
        let missing = try profile.apply(to: socket)
        #expect(Set(missing).isSubset(of: ["TCP_RTO_MIN_US", "TCP_RTO_MAX_MS"]))
        #expect(option(socket, TCP_NODELAY) == 1)
        if let unsentLimit = profile.unsentLimit { #expect(option(socket, TCP_NOTSENT_LOWAT) == unsentLimit) }
        if let userTimeout = profile.userTimeout {
            #expect(option(socket, TCP_USER_TIMEOUT) == userTimeout.millisecondsRoundedUp)
        }
        if let keepAlive = profile.keepAlive { #expect(option(socket, TCP_KEEPCNT) == keepAlive.count) }
    }

    @Test func changesALiveConnection() throws {
        let connection = try Connection(profile: .wan)
        try LinkProfile.interactive.apply(to: connection.dialled)
        #expect(option(connection.dialled, TCP_NOTSENT_LOWAT) == 16 << 10)
        var profile = LinkProfile.bulk
        profile.congestionControl = "reno"
        profile.sendBuffer = 64 << 10
        profile.receiveBuffer = 64 << 10
        let missing = try profile.apply(to: connection.dialled)
        #expect(Set(missing).isSubset(of: ["TCP_RTO_MAX_MS"]))
    }

    @Test func namesWhatHasNoEffect() throws {
        let socket = try TCPSocket(family: AF_INET6)
        var profile = LinkProfile(name: "odd", congestionControl: "no-such-thing")
        // Below the kernel's minimum of 1 s.
        profile.maximumRetransmission = .milliseconds(20)
        let missing = try profile.apply(to: socket)
        #expect(missing == ["TCP_CONGESTION no-such-thing", "TCP_RTO_MAX_MS"])
    }

    @Test func brokenSocketsAreErrors() throws {
        let pipe = Descriptor(owning: try check(usl_memfd_create("no socket", UInt32(MFD_CLOEXEC))))
        let socket = TCPSocket(owning: pipe)
        #expect(throws: Errno.notSocket) { try LinkProfile.local.apply(to: socket) }
    }

    @Test func suitsThePath() {
        #expect(LinkProfile.suited(to: SocketAddress(host: .v4(0x7f01_0203), port: 1)) == .local)
        #expect(LinkProfile.suited(to: SocketAddress(host: .v4(0xc000_0201), port: 1)) == .wan)
    }
}
