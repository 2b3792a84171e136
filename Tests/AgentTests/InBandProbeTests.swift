import CLinux
import Kernel
import Rendezvous
import Testing
import Transport

@testable import Agent
@testable import Engine

@Suite("In-band probe")
struct InBandProbeTests {
    private static let answer = EnhancementAnswer(gateways: [.init(port: 7117, isTLS: true)])

    @Test("an answer counts when it is whole, in whatever pieces, and the prober has said nothing")
    func answered() throws {
        let (finding, peers) = try probe { peer in
            guard peer.sawEnd else { return false }
            for byte in Self.answer.encoded { peer.say([byte]) }
            return true
        }
        #expect(finding == .answer(Self.answer))
        #expect(peers.count == 1 && peers[0].heard == [])
        #expect(peers[0].hasProbeMark(), "no front would know it")
    }

    @Test("who speaks first, or goes, is an ordinary server", arguments: ["SSH-2.0-OpenSSH\r\n", "", "U"])
    func ordinary(says text: String) throws {
        let (finding, _) = try probe { peer in
            peer.say(Array(text.utf8))
            peer.close()
            return true
        }
        #expect(finding == .ordinary)
    }

    @Test(
        "what begins like an answer and is none is garbage",
        arguments: ["USL/EDP 1\nusl/1\n\n", "USL/EDP 1\nusl/1 port=7"])
    func garbage(says text: String) throws {
        let (finding, _) = try probe { peer in
            peer.say(Array(text.utf8))
            peer.finish()
            return true
        }
        #expect(finding == .garbage)
    }

    @Test("an ordinary server that waits for more is one, after a while")
    func silent() throws {
        let start = ContinuousClock.now
        #expect(try probe { _ in true }.finding == .ordinary)
        #expect(ContinuousClock.now - start >= .milliseconds(299))
    }

    @Test("where nobody listens is nobody")
    func refused() throws {
        let loop = try makeLoop()
        var finding: InBandProbe.Finding?
        InBandProbe.start(try TestListener().address, on: loop) { finding = $0 }
        try turn(loop) { finding != nil }
        #expect(finding == .ordinary)
    }

    @Test("a reset is asked again, a few times")
    func resets() throws {
        var count = 0
        let (finding, _) = try probe { peer in
            count += 1
            if count == 1 { peer.reset() } else { peer.say(Self.answer.encoded) }
            return true
        }
        #expect(finding == .answer(Self.answer) && count == 2)
        count = 0
        let (another, _) = try probe { peer in
            count += 1
            peer.reset()
            return true
        }
        #expect(another == .ordinary && count == InBandProbe.maximumDials)
    }

    /// Probes a listener that treats each connection once with `treat`, which tells whether it has.
    private func probe(
        treat: (TestPeer) -> Bool
    ) throws -> (finding: InBandProbe.Finding?, peers: [TestPeer]) {
        let loop = try makeLoop()
        let listener = try TestListener()
        var findings: [InBandProbe.Finding] = []
        var peers: [TestPeer] = []
        var treated = 0
        InBandProbe.start(listener.address, on: loop) { findings.append($0) }
        try turn(loop) {
            if let accepted = listener.accept() { peers.append(accepted) }
            peers.last?.listen()
            if treated < peers.count, treat(peers[treated]) { treated += 1 }
            return !findings.isEmpty
        }
        #expect(findings.count == 1)
        return (findings.first, peers)
    }
}
