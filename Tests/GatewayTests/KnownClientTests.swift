import CLinux
import InMemoryLogging
import Kernel
import SessionProtocol
import TestSupport
import Testing
import Transport

@testable import Gateway
@testable import SessionHost

/// Clients by their keys: who is served, and what he is called.
@Suite("Known clients")
struct KnownClientTests {
    private let directory: TemporaryDirectory
    private let context: TLSContext
    private let log = InMemoryLogHandler()

    init() throws {
        directory = try TemporaryDirectory()
        context = try TLSContext(.client, identity: try Identity.generate())
    }

    /// - Parameter listed: the file of `--authorized`.
    private func gateway(_ listed: String, allow: String? = nil) throws -> GatewayUnderTest {
        let path = directory.path + "/authorized"
        try put(listed, into: path)
        return try GatewayUnderTest(allow: allow, state: directory.state, authorized: path, log: log)
    }

    private var lines: [String] { log.entries.map { "\($0.message)" } }

    private func expectLine(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let end = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < end {
            if lines.contains(where: { $0.contains(text) }) { return }
            usleep(1000)
        }
        Issue.record("no '\(text)' in \(lines)", sourceLocation: sourceLocation)
    }

    @Test("a key that is not listed is not served, and neither is a plain link, which shows none")
    func unlisted() throws {
        let gateway = try gateway("\(try Identity.generate().fingerprint) bob@desk\n")
        for isSecure in [true, false] {
            let opener =
                isSecure ? try HandMadeOpener(gateway.address, over: context) : try HandMadeOpener(gateway.address)
            opener.say(try HandMadeSession(isSecure ? 1 : 2, to: gateway.serverAddress).greeting)
            let answer = try opener.hear()
            #expect(answer?.header.type == (isSecure ? nil : .refused))
        }
        #expect(gateway.ask(\.strangers.report)?.turnedAway == [.unauthorized: 2])
        #expect(gateway.ask(\.liveSessions) == 0)
        #expect(try gateway.server.accept() == nil)
        expectLine("its key, \(context.identity.fingerprint), is not in the file of --authorized")
    }

    @Test("what the log says of a session has its client's name")
    func named() throws {
        let gateway = try gateway("\(context.identity.fingerprint) alice@laptop # since May\n")
        let (session, opener) = try gateway.openSession(over: context)
        // What nobody has sent cannot have arrived.
        opener.say(FrameHeader(type: .ack, acknowledged: 1 << 40).encodedBytes)
        let way = "from \(try opener.localAddress()) (alice@laptop) to \(gateway.serverAddress)"
        expectLine("session \(session.id.hex.prefix(8)) \(way): the agent broke the protocol")
    }

    @Test("who asks for what is not allowed is named")
    func notAllowed() throws {
        let gateway = try gateway("\(context.identity.fingerprint) alice@laptop\n", allow: "192.0.2.1:1")
        let opener = try HandMadeOpener(gateway.address, over: context)
        opener.say(try HandMadeSession(1, to: gateway.serverAddress).greeting)
        #expect(try opener.hear()?.code == RefusedMessage.Code.notAllowed.rawValue)
        expectLine("\(gateway.serverAddress) refused: no --allow has it (asked for by alice@laptop)")
    }
}
