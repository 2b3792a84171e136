import Rendezvous
import Testing

@Suite("Detection findings")
struct DetectionFindingTests {
    @Test("what a gateway says of a destination survives the file, and is no gateway to those who do not know it")
    func marks() throws {
        var cache = DetectionCache()
        for (place, gateways) in [
            ("a:1", DetectionFinding.offered(by: "a:7117")), ("a:2", DetectionFinding.declined), ("a:3", ["a:7117"]),
            ("a:4", []),
        ] {
            cache.note(
                DetectionFinding(gateways: gateways, until: 1600),
                for: DetectionQuestion(.port, at: place, isPlain: false),
                now: 1000)
        }
        let read = try #require(DetectionCache(text: Array(cache.text.utf8)))
        #expect(read == cache)
        let findings = ["a:1", "a:2", "a:3", "a:4"].map {
            read.finding(for: DetectionQuestion(.port, at: $0, isPlain: false), now: 1000)
        }
        #expect(findings.map { $0?.isOffered } == [true, false, false, false])
        #expect(findings.map { $0?.isDeclined } == [false, true, false, false])
    }

    @Test("a finding that does not help is asked for anew, and that alone")
    func expiry() {
        var cache = DetectionCache()
        let questions = ["a:1", "a:2"].map { DetectionQuestion(.port, at: $0, isPlain: false) }
        for question in questions { cache.note(DetectionFinding(gateways: [], until: 1600), for: question, now: 1000) }
        let held = [cache.expire(questions[0], now: 1001), cache.expire(questions[0], now: 1001)]
        #expect(held == [true, false], "the second time it held no more")
        #expect(
            cache.finding(for: questions[0], now: 1001) == nil && cache.finding(for: questions[1], now: 1001) != nil)
    }
}
