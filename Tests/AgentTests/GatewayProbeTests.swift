import Kernel
import SessionProtocol
import Testing
import Transport

@testable import Agent
@testable import Engine

@Suite("Gateway probe")
struct GatewayProbeTests {
    @Test("a gateway is who answers with USL's preface, in whatever pieces")
    func gateway() throws {
        let (finding, heard) = try probe { peer in
            guard peer.heard.count == Wire.preface.count else { return }
            for byte in Wire.preface { peer.say([byte]) }
        }
        #expect(finding == .gateway(nil) && heard == Wire.preface)
    }

    @Test("who says something else is a stranger", arguments: ["SSH-2.0-OpenSSH\r\n", "USL/2\r\n\0", "U"])
    func garbage(says text: String) throws {
        #expect(
            try probe { peer in
                peer.say(Array(text.utf8))
                if text == "U" { peer.finish() }
            }.finding == .stranger)
    }

    @Test("who hangs up is a stranger")
    func hangsUp() throws { #expect(try probe { $0.finish() }.finding == .stranger) }

    @Test("who accepts and stays silent is a stranger, after a while")
    func silent() throws {
        let start = ContinuousClock.now
        #expect(try probe { _ in }.finding == .stranger)
        #expect(ContinuousClock.now - start >= .milliseconds(299))
    }

    @Test("where nobody listens is nobody")
    func refused() throws {
        let address = try TestListener().address
        let loop = try makeLoop()
        var finding: GatewayProbe.Finding?
        GatewayProbe.start(address, nil, on: loop) { finding = $0 }
        try turn(loop) { finding != nil }
        #expect(finding == .nobody)
    }

    @Test("a reset is asked again: an attack is no answer")
    func resetOnce() throws {
        var resets = 3
        let (finding, _) = try probe { peer in
            if resets > 0 {
                resets -= 1
                peer.reset()
            } else {
                peer.say(Wire.preface)
            }
        }
        #expect(finding == .gateway(nil))
    }

    @Test("resets without end are an answer, after a bounded number of connections")
    func resetAlways() throws {
        var resets = 0
        let (finding, _) = try probe { peer in
            resets += 1
            peer.reset()
        }
        #expect(finding == .nobody)
        #expect(resets <= GatewayProbe.maximumDials)
    }

    @Test("a gateway is asked about the destination, and answers in whatever pieces", arguments: [1, 2, 3] as [UInt16])
    func asked(code: UInt16) throws {
        let destination = try #require(SocketAddress("192.0.2.1:1337"))
        let service = try #require(AnswerMessage.Service(rawValue: code))
        let ask = AskMessage(destination: Destination(destination)).encoded
        var said = 0
        let (finding, heard) = try probe(about: destination, times: .max) { peer in
            if said == 0, peer.heard == Wire.preface {
                said = 1
                peer.say(Wire.preface)
            }
            if said == 1, peer.heard == Wire.preface + ask {
                said = 2
                for byte in AnswerMessage(service).encoded { peer.say([byte]) }
            }
        }
        #expect(finding == .gateway(nil, service) && heard == Wire.preface + ask)
    }

    @Test("who has no answer is a gateway all the same", arguments: ["refused", "end", "silence"])
    func unanswered(how: String) throws {
        let destination = try #require(SocketAddress("192.0.2.1:1337"))
        var said = false
        let (finding, _) = try probe(about: destination, times: .max) { peer in
            if !said { peer.say(Wire.preface) }
            said = true
            guard peer.heard.count > Wire.preface.count else { return }
            switch how {
            case "refused": peer.say(RefusedMessage(code: .malformed, text: "not understood").encoded)
            case "end": peer.finish()
            default: break
            }
        }
        #expect(finding == .gateway(nil))
    }

    /// Probes a listener that treats each connection once, when it has heard the prober, with `answer`.
    ///
    /// - Parameters:
    ///   - destination: what it is asked about.
    ///   - times: how often `answer` is called for a connection.
    private func probe(
        about destination: SocketAddress? = nil, times: Int = 1, answer: (TestPeer) -> Void
    ) throws -> (finding: GatewayProbe.Finding?, heard: [UInt8]) {
        let loop = try makeLoop()
        let listener = try TestListener()
        var findings: [GatewayProbe.Finding] = []
        var peer: TestPeer?
        var answers = 0
        GatewayProbe.start(listener.address, nil, about: destination, on: loop) { findings.append($0) }
        try turn(loop) {
            if let accepted = listener.accept() {
                peer = accepted
                answers = 0
            }
            peer?.listen()
            if let peer, answers < times, !peer.heard.isEmpty {
                answers += 1
                answer(peer)
            }
            return !findings.isEmpty
        }
        #expect(findings.count == 1)
        return (findings.first, peer?.heard ?? [])
    }
}
