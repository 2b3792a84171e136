import Testing

@testable import Keeper

@Suite("Restart policy")
struct RestartPolicyTests {
    @Test("a worker that has lived is followed at once, however often")
    func steady() {
        var policy = RestartPolicy()
        for _ in 0..<100 { #expect(policy.pause(after: RestartPolicy.steadyLife) == .zero) }
    }

    @Test("deaths in a row come with growing pauses, until it is enough")
    func loop() {
        var policy = RestartPolicy()
        let pauses = (0..<RestartPolicy.limit).map { _ in policy.pause(after: .milliseconds(1)) }
        #expect(pauses.prefix(RestartPolicy.free).allSatisfy { $0 == .zero })
        let later = pauses.dropFirst(RestartPolicy.free).dropLast().compactMap(\.self)
        #expect(later.count == RestartPolicy.limit - RestartPolicy.free - 1 && later == later.sorted())
        #expect(later.first == .milliseconds(50) && pauses.last == .some(nil))
    }

    @Test("a long life makes up for it")
    func recovers() {
        var policy = RestartPolicy()
        for _ in 1..<RestartPolicy.limit { #expect(policy.pause(after: .zero) != nil) }
        #expect(policy.pause(after: .seconds(1)) == .zero)
    }
}
