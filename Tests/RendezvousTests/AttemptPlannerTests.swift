import Testing

@testable import Rendezvous

@Suite("Attempt planner")
struct AttemptPlannerTests {
    private let refused: Int32 = 111
    private let unreachable: Int32 = 101
    private let pairs: [CandidatePair] = (1...8).map { CandidatePair(source: nil, destination: .v4($0)) }

    private func planner(
        _ history: FirstAttempt = .notStarted, atOnce: Int = 6, offering count: Int = 8
    ) -> AttemptPlanner {
        var planner = AttemptPlanner(asked: pairs[0], history: history, timing: AttemptTiming(atOnce: atOnce))
        #expect(planner.offer(Array(pairs.prefix(count)), now: 0) == [])
        #expect(planner.noMoreWillCome(now: 0) == [])
        return planner
    }

    @Test("an attempt that connects at once is the only one")
    func healthy() {
        var planner = planner()
        #expect(planner.start(now: 5) == [.start(0, pairs[0])])
        #expect(planner.nextDeadline == 5 + milliseconds(250))
        #expect(planner.connected(0, now: milliseconds(20)) == [.won(0, pairs[0])])
        #expect(planner.isOver && planner.nextDeadline == nil)
        #expect(planner.timePassed(now: seconds(60)) == [])
    }

    @Test("the next begins after each delay, and the first to connect wins")
    func silent() {
        var planner = planner()
        #expect(planner.start(now: 0) == [.start(0, pairs[0])])
        #expect(planner.timePassed(now: milliseconds(249)) == [])
        #expect(planner.timePassed(now: milliseconds(250)) == [.start(1, pairs[1])])
        // Late, and still one at a time.
        #expect(planner.timePassed(now: milliseconds(900)) == [.start(2, pairs[2])])
        #expect(planner.nextDeadline == milliseconds(1150))
        #expect(planner.connected(1, now: milliseconds(901)) == [.won(1, pairs[1]), .abort(0), .abort(2)])
    }

    @Test("a failure lets the next begin at once, and its delay counts from there")
    func hardFailure() {
        var planner = planner()
        _ = planner.start(now: 0)
        #expect(planner.failed(0, errno: refused, now: 7) == [.start(1, pairs[1])])
        #expect(planner.nextDeadline == 7 + milliseconds(250))
        // Not there: an attempt that ended, and one that never was.
        #expect(planner.failed(0, errno: refused, now: 8) == [])
        #expect(planner.connected(5, now: 8) == [])
    }

    @Test("no more are under way than allowed, and a place is taken as soon as there is one")
    func places() {
        var planner = planner(atOnce: 2)
        _ = planner.start(now: 0)
        #expect(planner.timePassed(now: milliseconds(250)) == [.start(1, pairs[1])])
        #expect(planner.timePassed(now: milliseconds(600)) == [])
        #expect(planner.nextDeadline == seconds(1))
        #expect(planner.failed(1, errno: refused, now: milliseconds(700)) == [.start(2, pairs[2])])
    }

    @Test("what is silent for a second goes on, and no longer keeps others from being tried")
    func patience() {
        var planner = planner(atOnce: 2)
        _ = planner.start(now: 0)
        _ = planner.timePassed(now: milliseconds(250))
        #expect(planner.timePassed(now: seconds(1)) == [.start(2, pairs[2])])
        #expect(planner.nextDeadline == milliseconds(1250))
        #expect(planner.timePassed(now: milliseconds(1250)) == [.start(3, pairs[3])])
        #expect(planner.nextDeadline == seconds(2))
        #expect(planner.connected(0, now: milliseconds(1800)) == [.won(0, pairs[0]), .abort(1), .abort(2), .abort(3)])
    }

    @Test("seven silent addresses delay the eighth by no more than seven delays")
    func sevenDead() {
        var planner = planner()
        var started = planner.start(now: 0)
        while started.last != .start(7, pairs[7]), let next = planner.nextDeadline {
            started += planner.timePassed(now: next)
        }
        #expect(planner.connected(7, now: milliseconds(1750)).first == .won(7, pairs[7]))
    }

    @Test("when all have failed, it is attempt 0's errno that counts")
    func allFail() {
        var planner = planner(offering: 3)
        _ = planner.start(now: 0)
        _ = planner.timePassed(now: milliseconds(250))
        #expect(planner.failed(1, errno: refused, now: milliseconds(260)) == [.start(2, pairs[2])])
        #expect(planner.failed(2, errno: refused, now: milliseconds(270)) == [])
        #expect(planner.failed(0, errno: unreachable, now: seconds(1)) == [.failed(unreachable)])
        #expect(planner.isOver)
    }

    @Test("nothing has failed as long as more may come, and what comes begins at once")
    func lateCandidates() {
        var planner = AttemptPlanner(asked: pairs[0])
        _ = planner.start(now: 0)
        #expect(planner.failed(0, errno: refused, now: 10) == [])
        #expect(planner.nextDeadline == seconds(30))
        #expect(planner.offer([pairs[0], pairs[1], pairs[2]], now: 20) == [.start(1, pairs[1])])
        #expect(planner.failed(1, errno: unreachable, now: 30) == [.start(2, pairs[2])])
        #expect(planner.failed(2, errno: unreachable, now: 40) == [])
        #expect(planner.noMoreWillCome(now: 50) == [.failed(refused)])
    }

    @Test("a later offer gives the order of what waits, and nothing is tried twice")
    func reordered() {
        var planner = AttemptPlanner(asked: pairs[0])
        _ = planner.offer([pairs[0], pairs[1], pairs[2]], now: 0)
        _ = planner.start(now: 0)
        #expect(planner.timePassed(now: milliseconds(250)) == [.start(1, pairs[1])])
        #expect(planner.offer([pairs[4], pairs[1], pairs[0], pairs[4]], now: milliseconds(251)) == [])
        #expect(planner.failed(1, errno: refused, now: milliseconds(252)) == [.start(2, pairs[4])])
        #expect(planner.failed(2, errno: refused, now: milliseconds(253)) == [.start(3, pairs[2])])
    }

    @Test("at the end of the budget only attempt 0 goes on, as it would without USL")
    func budget() {
        var planner = planner()
        _ = planner.start(now: 0)
        _ = planner.timePassed(now: milliseconds(250))
        _ = planner.timePassed(now: milliseconds(500))
        #expect(planner.timePassed(now: seconds(30)) == [.abort(1), .abort(2)])
        #expect(planner.nextDeadline == nil && !planner.isOver)
        #expect(planner.offer([CandidatePair(source: nil, destination: "192.0.2.9")], now: seconds(31)) == [])
        #expect(planner.connected(1, now: seconds(31)) == [], "it was aborted")
        #expect(planner.connected(0, now: seconds(62)) == [.won(0, pairs[0])])
    }

    @Test("at the end of the budget all have failed when attempt 0 has")
    func budgetWithoutHope() {
        var planner = AttemptPlanner(asked: pairs[0])
        _ = planner.start(now: 0)
        _ = planner.failed(0, errno: refused, now: 1)
        #expect(planner.offer([pairs[1]], now: 2) == [.start(1, pairs[1])])
        #expect(planner.timePassed(now: seconds(30)) == [.abort(1), .failed(refused)])
    }

    @Test("attempt 0 may have failed before: it is not repeated, its errno counts")
    func failedBefore() {
        var planner = planner(.failed(unreachable), offering: 2)
        #expect(planner.start(now: 0) == [.start(1, pairs[1])])
        #expect(planner.failed(1, errno: refused, now: 10) == [.failed(unreachable)])
        var alone = self.planner(.failed(unreachable), offering: 1)
        #expect(alone.start(now: 0) == [.failed(unreachable)])
    }

    @Test("attempt 0 may have been silent: it begins again together with the next, in the same budget")
    func silentBefore() {
        let start = seconds(100)
        var planner = planner(.silent(since: start - milliseconds(200)))
        #expect(planner.start(now: start) == [.start(0, pairs[0]), .start(1, pairs[1])])
        #expect(planner.nextDeadline == start + milliseconds(250))
        _ = planner.timePassed(now: start + seconds(29))
        #expect(planner.timePassed(now: start + milliseconds(29_800)) == [.abort(1), .abort(2)])
    }

    @Test("the number of attempts is bounded")
    func bounded() {
        var planner = AttemptPlanner(asked: pairs[0])
        _ = planner.start(now: 0)
        var effects = planner.failed(0, errno: refused, now: 0)
        for last in 0..<200 as Range<UInt32> {
            effects += planner.offer([CandidatePair(source: nil, destination: .v4(1000 + last))], now: 0)
        }
        var started = 1
        while case .start(let number, _) = effects.first {
            started += 1
            effects = planner.failed(number, errno: refused, now: 0)
        }
        #expect(started == Candidates.maximum)
    }
}
