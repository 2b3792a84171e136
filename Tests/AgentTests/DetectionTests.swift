import CLinux
import Kernel
import Policy
import Rendezvous
import SessionProtocol
import Testing
import Transport
import Trust

@testable import Agent
@testable import Engine

/// On loopback, where links are plain; what keys are known by is none the less looked at.
@Suite("Detection")
struct DetectionTests {
    /// A destination with whatever answers at its own port, and a gateway at a port that it may name.
    private final class Setting {
        let loop: EventLoop
        let state = StateDirectory(path: "/tmp/usl-detection-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
        let server: TestListener
        let gateway: TestListener
        /// What a probe of the destination hears.
        var answer: [UInt8]
        private(set) var probes = 0
        private(set) var links = 0
        private var peers: [TestPeer] = []
        var gatewayAnswers = true

        init() throws {
            loop = try makeLoop()
            server = try TestListener()
            gateway = try TestListener()
            answer = EnhancementAnswer(gateways: [.init(port: gateway.address.port, isTLS: true)]).encoded
        }

        deinit {
            for name in ["detections", "detections.lock", "pins", "pins.lock"] { unlink(state.file(name)) }
            rmdir(state.path)
        }

        /// What another command would find.
        func look(_ mode: DetectionMode, isPlain: Bool = false) throws -> Detection.Outcome {
            try look(mode, with: detection(isPlain: isPlain))
        }

        func detection(isPlain: Bool = false) -> Detection {
            var options = AgentOptions(state: state)
            options.isPlain = isPlain
            let trust = GatewayTrust(options, on: loop, .init(tell: { _ in }, alarm: { _ in }))
            return Detection(
                isPlain: isPlain, trust: trust, store: DetectionStore(in: state, on: loop, explain: { _ in }), on: loop)
        }

        func look(_ mode: DetectionMode, with detection: Detection) throws -> Detection.Outcome {
            var outcomes: [Detection.Outcome] = []
            detection.look(at: server.address, mode) { outcomes.append($0) }
            try turn(loop) {
                if let peer = server.accept() {
                    probes += 1
                    peer.say(answer)
                    peer.finish()
                    peers.append(peer)
                }
                if let peer = gateway.accept() {
                    links += 1
                    if gatewayAnswers { peer.say(Wire.preface) } else { peer.finish() }
                    peers.append(peer)
                }
                return !outcomes.isEmpty
            }
            return try #require(outcomes.first)
        }

        /// Has a key known by a gateway's address, as a first session would.
        func pin(_ address: SocketAddress) throws {
            _ = try PinStore(in: state).meet(
                try #require(Fingerprint("SHA256:YW5vdGhlciBzYW1wbGUsIGl0IGlzIG5vdCByZWFsIGs")), of: "\(address)",
                date: "now")
        }
    }

    @Test("a destination is asked itself only if that is wanted")
    func modes() throws {
        let setting = try Setting()
        for mode in [DetectionMode.off, .port] {
            let outcome = try setting.look(mode)
            #expect(outcome.gateways.isEmpty && outcome.remarks.isEmpty && setting.probes == 0)
        }
        let outcome = try setting.look(.probe)
        #expect(outcome.gateways == [setting.gateway.address] && outcome.answer?.question.way == .probe)
        #expect(setting.probes == 1 && setting.links == 1)
    }

    @Test("what was found is known, here at once, to other commands if a key holds them to it")
    func remembered() throws {
        let setting = try Setting()
        let detection = setting.detection()
        for _ in 0..<3 { #expect(try setting.look(.probe, with: detection).gateways == [setting.gateway.address]) }
        #expect(setting.probes == 1)
        _ = try setting.look(.probe)
        #expect(setting.probes == 2, "a gateway without a key may be gone")
        try setting.pin(setting.gateway.address)
        let outcome = try setting.look(.probe)
        #expect(outcome.gateways == [setting.gateway.address] && outcome.answer?.until != nil && setting.probes == 2)
    }

    @Test("an ordinary server is known to other commands, and one that says nonsense is told by each")
    func ordinary() throws {
        let setting = try Setting()
        setting.answer = Array("220 ready\r\n".utf8)
        for _ in 0..<2 { #expect(try setting.look(.probe).remarks == [] && setting.probes == 1) }
        let other = try Setting()
        other.answer = Array("USL/EDP 1\nusl/1 port=x\n\n".utf8)
        for count in 1...2 {
            let outcome = try other.look(.probe)
            #expect(outcome.gateways.isEmpty && outcome.remarks.count == 1 && other.probes == count)
        }
    }

    @Test("a gateway that was named and does not answer, or that is not this end's kind, is not used, and told")
    func unusable() throws {
        let setting = try Setting()
        setting.gatewayAnswers = false
        var outcome = try setting.look(.probe)
        #expect(outcome.gateways.isEmpty && outcome.remarks.first?.contains("does not answer") == true)
        outcome = try setting.look(.probe, isPlain: true)
        #expect(outcome.gateways.isEmpty && outcome.remarks.first?.contains("--plain at both ends") == true)
        setting.answer = EnhancementAnswer(gateways: []).encoded
        outcome = try setting.look(.probe)
        #expect(outcome.gateways.isEmpty && outcome.remarks.first?.contains("names no gateway") == true)
    }

    @Test("a gateway that fails is asked again, and told when it is gone; one whose key is known stays")
    func gone() throws {
        let setting = try Setting()
        let detection = setting.detection()
        _ = try setting.look(.probe, with: detection)
        setting.answer = Array("220 ready\r\n".utf8)
        detection.failed(setting.gateway.address)
        var outcome = try setting.look(.probe, with: detection)
        #expect(outcome.gateways.isEmpty)
        #expect(
            outcome.remarks == [
                "the gateway at \(setting.gateway.address) does not answer any more; connected directly"
            ])

        let other = try Setting()
        let another = other.detection()
        _ = try other.look(.probe, with: another)
        try other.pin(other.gateway.address)
        other.answer = Array("220 ready\r\n".utf8)
        another.failed(other.gateway.address)
        for detection in [another, other.detection()] {
            outcome = try other.look(.probe, with: detection)
            #expect(outcome.gateways == [other.gateway.address] && outcome.remarks.count == 1)
        }
    }

    @Test("whoever forges an answer cannot lead away from a gateway whose key is known")
    func forged() throws {
        let setting = try Setting()
        let detection = setting.detection()
        _ = try setting.look(.probe, with: detection)
        try setting.pin(setting.gateway.address)
        detection.failed(setting.gateway.address)
        let other = try Setting()
        setting.answer = EnhancementAnswer(gateways: [.init(port: other.gateway.address.port, isTLS: true)]).encoded
        var outcomes: [Detection.Outcome] = []
        detection.look(at: setting.server.address, .probe) { outcomes.append($0) }
        var peers: [TestPeer] = []
        try turn(setting.loop) {
            for (listener, words) in [(setting.server, setting.answer), (other.gateway, Wire.preface)] {
                guard let peer = listener.accept() else { continue }
                peer.say(words)
                peer.finish()
                peers.append(peer)
            }
            return !outcomes.isEmpty
        }
        #expect(outcomes.first?.gateways == [setting.gateway.address])
        #expect(outcomes.first?.remarks.first?.contains("\(other.gateway.address)") == true)
    }

    /// Looks at a port of an address of its own on loopback, whose gateway port belongs to the test.
    private func look(
        _ detection: Detection, in setting: Setting, at host: String, port: UInt16, _ mode: DetectionMode = .port,
        service: AnswerMessage.Service?, questions: inout Int
    ) throws -> Detection.Outcome {
        let host = try #require(SocketAddress.Host(numeric: host))
        let gateway = try service.map { _ in
            try TCPSocket.listen(on: SocketAddress(host: host, port: AgentOptions.gatewayPort))
        }
        var outcomes: [Detection.Outcome] = []
        detection.look(at: SocketAddress(host: host, port: port), mode) { outcomes.append($0) }
        var peers: [TestPeer] = []
        var answered = 0
        try turn(setting.loop) {
            if let accepted = try? gateway?.accept() {
                let peer = TestPeer(accepted)
                peer.say(Wire.preface)
                peers.append(peer)
            }
            for peer in peers { peer.listen() }
            if let service, let peer = peers.last, peer.heard.count > Wire.preface.count, answered < peers.count {
                answered += 1
                questions += 1
                peer.say(AnswerMessage(service).encoded)
            }
            return !outcomes.isEmpty
        }
        return try #require(outcomes.first)
    }

    @Test("a gateway that has nothing to do with a port is none for that port, and one for another")
    func declined() throws {
        let setting = try Setting()
        let detection = setting.detection(isPlain: true)
        var questions = 0
        for port: UInt16 in [22, 22, 1337] {
            let outcome = try look(
                detection, in: setting, at: "127.7.11.7", port: port, service: port == 22 ? .unserved : .offered,
                questions: &questions)
            #expect(outcome.gateways.isEmpty == (port == 22) && outcome.remarks.isEmpty)
            #expect(outcome.answer?.isDeclined == (port == 22) && outcome.isOffered == (port == 1337))
        }
        #expect(questions == 2)
        // Other commands know it too, but not whether an offer is there still.
        let other = setting.detection(isPlain: true)
        var outcome = try look(
            other, in: setting, at: "127.7.11.7", port: 22, service: .served, questions: &questions)
        #expect(outcome.gateways.isEmpty && outcome.answer?.isDeclined == true && questions == 2)
        outcome = try look(other, in: setting, at: "127.7.11.7", port: 1337, service: nil, questions: &questions)
        #expect(outcome.gateways.isEmpty && outcome.remarks.isEmpty, "it may go with its server")
        // A server that does not answer may have a successor.
        other.serverRefused(try #require(SocketAddress("127.7.11.7:22")))
        outcome = try look(other, in: setting, at: "127.7.11.7", port: 22, service: .served, questions: &questions)
        #expect(!outcome.gateways.isEmpty && questions == 3)
    }

    @Test("a gateway that is known by its key is left for a port only at its own word")
    func declinedByAnother() throws {
        let setting = try Setting()
        let gateway = try #require(SocketAddress("127.7.11.8:7117"))
        try setting.pin(gateway)
        var questions = 0
        for service in [AnswerMessage.Service.unserved, .offered] {
            // On loopback it shows no key.
            let outcome = try look(
                setting.detection(), in: setting, at: "127.7.11.8", port: 22, service: service, questions: &questions)
            #expect(outcome.gateways == [gateway] && !outcome.isOffered)
        }
    }

    @Test("a front names no address that is nearer to this end than itself")
    func claims() throws {
        for (front, address, isTaken) in [
            ("192.0.2.1:22", "192.0.2.2", true), ("192.0.2.1:22", "2001:db8::1", true),
            ("192.0.2.1:22", "127.0.0.1", false),
            ("192.0.2.1:22", "::1", false), ("192.0.2.1:22", "10.0.0.1", false), ("192.0.2.1:22", "0.0.0.0", false),
            ("192.0.2.1:22", "224.0.0.1", false), ("192.0.2.1:22", "::ffff:127.0.0.1", false),
            ("192.0.2.1:22", "1.2", false),
            ("10.0.0.1:22", "10.0.0.2", true), ("10.0.0.1:22", "127.0.0.1", false), ("127.0.0.1:22", "127.0.0.1", true),
        ] {
            let claim = GatewayClaim(
                .init(port: 7, isTLS: true, address: address), by: try #require(SocketAddress(front)))
            #expect((claim != nil) == isTaken, "\(address) by \(front)")
        }
        let same = GatewayClaim(.init(port: 7, isTLS: false), by: try #require(SocketAddress("192.0.2.1:22")))
        #expect(same?.address.description == "192.0.2.1:7")
    }
}
