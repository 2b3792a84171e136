import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@testable import Agent
@testable import Interception

/// A client of the SOCKS port whose agent has died: what it has been told already, as its connection shows.
@Suite("Proxy client") struct ProxyClientTests {
    @Test(
        "who is owed an answer",
        arguments: [
            ([], .http), ([[5, 0]], .socks5), ([[5, 2], [1, 0]], .socks5),
            ([[5, 0], ProxyDialect.socks5.granted(at: ProxyAddress(nil))], nil),
            ([ProxyDialect.http.granted(at: ProxyAddress(nil))], nil),
        ] as [([[UInt8]], ProxyDialect?)], [true, false])
    func owed(case: ([[UInt8]], ProxyDialect?), isAcknowledged: Bool) throws {
        let (said, dialect) = `case`
        let listener = try TestListener()
        let client = TestPeer(try TCPSocket.dial(listener.address, profile: .leg))
        guard let socket = try listener.socket.accept() else { throw Errno.wouldBlock }
        for bytes in said { #expect(socket.send(bytes) == .bytes(bytes.count)) }
        if isAcknowledged {
            try waitUntilTrue { try socket.unacknowledgedBytes() == 0 }
        }
        #expect(socket.owedDialect == dialect)
        let destination = try #require(SocketAddress("127.0.0.1:80"))
        socket.grantIfOwed(to: destination)
        // Once, whoever comes then.
        socket.grantIfOwed(to: destination)
        let answer = dialect?.granted(at: ProxyAddress(try destination.naturalSource())).count ?? 0
        try waitUntilTrue {
            client.listen()
            return client.heard.count == said.joined().count + answer
        }
        #expect(socket.owedDialect == nil)
    }

    private func waitUntilTrue(_ condition: () throws -> Bool) throws {
        let deadline = ContinuousClock.now + .seconds(5)
        while try !condition() {
            try #require(ContinuousClock.now < deadline)
            usleep(1_000)
        }
    }

    @Test("errors have their codes")
    func failures() {
        let failures: [Errno] = [
            .connectionRefused, .networkUnreachable, .noRouteToHost, .timedOut, .permissionDenied, .connectionReset,
        ]
        #expect(
            failures.map { ProxyFailure($0) } == [
                .refused, .networkUnreachable, .hostUnreachable, .timedOut, .notAllowed, .general,
            ])
    }
}
