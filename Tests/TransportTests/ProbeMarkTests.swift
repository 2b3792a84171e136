import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@Suite("Probe mark")
struct ProbeMarkTests {
    private static let hosts: [SocketAddress.Host] = [.v4(0x7f00_0001), .v6(high: 0, low: 1, scope: 0)]

    @Test("a probe is known by its mark, and its end comes with the handshake", arguments: hosts)
    func marked(host: SocketAddress.Host) throws {
        let listener = try TCPSocket.listen(on: SocketAddress(host: host, port: 0))
        let probe = try ProbeMark.dial(listener.localAddress())
        let isConnected = try probe.finishConnect()
        #expect(isConnected)
        try probe.shutdownSending()
        let accepted = try nextConnection(at: listener)
        let isMarked = ProbeMark.isOn(accepted)
        #expect(isMarked)
        var byte: UInt8 = 0
        let (next, segments) = (accepted.peek(&byte), try accepted.info().segs_in)
        // SYN, and the third packet.
        #expect(next == .endOfStream && segments == 2)
    }

    @Test("nothing else has the mark: not the sizes of networks, nor those that stacks assume")
    func unmarked() throws {
        let listener = try TCPSocket.listen(on: .loopback(like: Self.hosts[0], port: 0))
        for size: Int32? in [nil, 536, 699, 710, 712, 723, 1220, 1440, 1460] {
            let socket = try TCPSocket(family: AF_INET)
            if var size { try check(setsockopt(socket.number, Int32(IPPROTO_TCP), TCP_MAXSEG, &size, 4)) }
            try socket.connect(to: try listener.localAddress())
            let accepted = try nextConnection(at: listener)
            let isMarked = ProbeMark.isOn(accepted)
            #expect(!isMarked, "\(size ?? 0)")
        }
    }
}
