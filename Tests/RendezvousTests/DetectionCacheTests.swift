import Testing

@testable import Rendezvous

@Suite("Detection cache")
struct DetectionCacheTests {
    private let lifetime = DetectionCache<String>.lifetime

    @Test("a finding holds for its lifetime, and is replaced by a newer one")
    func lifetimes() {
        var cache = DetectionCache<String>()
        #expect(cache.finding(for: "a", now: 0) == nil)
        cache.note(.ordinary, for: "a", now: 5)
        #expect(cache.finding(for: "a", now: 5) == .ordinary)
        #expect(cache.finding(for: "a", now: 4 + lifetime) == .ordinary)
        #expect(cache.finding(for: "a", now: 5 + lifetime) == nil)
        #expect(cache.finding(for: "b", now: 5) == nil)
        cache.note(.gateway, for: "a", now: 6)
        #expect(cache.finding(for: "a", now: 5 + lifetime) == .gateway)
    }

    @Test("what was found last is remembered beyond its lifetime")
    func remembersTheLastFinding() {
        var cache = DetectionCache<Int>()
        #expect(cache.lastFinding(for: 1) == nil)
        cache.note(.gateway, for: 1, now: 0)
        let later = DetectionCache<Int>.lifetime + 1
        #expect(cache.finding(for: 1, now: later) == nil)
        #expect(cache.lastFinding(for: 1) == .gateway)
    }

    @Test("a full cache makes room: first of what no longer holds")
    func bounded() {
        var cache = DetectionCache<Int>()
        let maximum = DetectionCache<Int>.maximum
        for destination in 0..<maximum { cache.note(.ordinary, for: destination, now: destination < 10 ? 0 : 100) }
        cache.note(.gateway, for: -1, now: lifetime)
        #expect(cache.finding(for: 9, now: lifetime) == nil)
        #expect(cache.finding(for: 10, now: lifetime) == .ordinary)
        for destination in maximum..<2 * maximum { cache.note(.ordinary, for: destination, now: lifetime) }
        #expect(cache.finding(for: 2 * maximum - 1, now: lifetime) == .ordinary)
        #expect(cache.finding(for: 10, now: lifetime) == nil, "the cache grows without bound")
    }
}
