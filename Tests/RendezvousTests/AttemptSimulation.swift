import SessionProtocol

@testable import Rendezvous

/// Runs one scenario in virtual time, as a driver would, and checks at each step what the planner asks for.
struct AttemptSimulation {
    private struct Attempt {
        let pair: CandidatePair
        let began: UInt64
        var isUnderWay = true
        /// Of an attempt that the planner made: it always ends, for one reason or another.
        var ends: UInt64?
    }

    enum Outcome: Hashable {
        case won(Int, CandidatePair)
        case failed(Int32)
    }

    private let scenario: AttemptScenario
    private let pairs: [CandidatePair]
    private let end: UInt64
    private var chance: SplitMix
    private var planner: AttemptPlanner
    private var attempts: [Attempt] = []
    private var now: UInt64
    private var timer: UInt64?
    /// An attempt failed then, and none has begun in its place.
    private var vacancy: UInt64?
    /// When the last candidates became known.
    private var offered: UInt64
    private var hasAll = false
    private(set) var outcome: Outcome?
    private(set) var problems: [String] = []

    init(_ scenario: AttemptScenario, seed: UInt64) {
        self.scenario = scenario
        chance = SplitMix(state: ~seed)
        pairs = scenario.pairs
        now = scenario.start
        offered = now
        switch scenario.history {
        case .silent(let since): end = since + scenario.timing.budget
        case .notStarted, .failed: end = now + scenario.timing.budget
        }
        planner = AttemptPlanner(asked: scenario.candidates.first, history: scenario.history, timing: scenario.timing)
    }

    /// Time from the start to the end.
    var elapsed: UInt64 { now - scenario.start }

    mutating func run() {
        if scenario.namesAfter == 0 {
            take(planner.offer(pairs, now: now))
            take(planner.noMoreWillCome(now: now))
            hasAll = true
        } else {
            // What is known without the names: the asked destination's sources.
            take(planner.offer(scenario.candidates.pairs(with: [], by: scenario.selection), now: now))
        }
        check(attempts.isEmpty && outcome == nil, "something happens before the start")
        if case .failed = scenario.history {
            attempts.append(Attempt(pair: scenario.candidates.first, began: now, isUnderWay: false))
            vacancy = now
        }
        take(planner.start(now: now))
        var steps = 0
        while outcome == nil, problems.isEmpty, steps < 1000 {
            step()
            steps += 1
        }
        check(outcome != nil, "it does not end")
        checkEnd()
    }

    // MARK: - The driver

    private enum Event {
        case names, ended(Int), timer
    }

    private mutating func step() {
        var next: (time: UInt64, event: Event)?
        let consider = { (time: UInt64, event: Event) in if time < next?.time ?? .max { next = (time, event) } }
        for (number, attempt) in attempts.enumerated() where attempt.isUnderWay {
            if let ends = attempt.ends { consider(ends, .ended(number)) }
        }
        if !hasAll { consider(scenario.start + scenario.namesAfter, .names) }
        if let timer { consider(timer, .timer) }
        guard let next else {
            problems.append("nothing will ever happen again")
            return
        }
        now = max(now, next.time)
        switch next.event {
        case .names:
            hasAll = true
            offered = now
            take(planner.offer(pairs, now: now))
            take(planner.noMoreWillCome(now: now))
        case .ended(let number): report(number)
        case .timer:
            take(planner.timePassed(now: now))
            if let deadline = planner.nextDeadline {
                check(deadline > now, "a deadline that has passed: the driver spins")
            }
        }
    }

    private mutating func report(_ number: Int) {
        switch scenario.fate(of: attempts[number].pair) {
        case .connects:
            take(planner.connected(number, now: now), winner: number)
            check(outcome == .won(number, attempts[number].pair), "the first to connect has not won")
        case .fails(_, let errno):
            attempts[number].isUnderWay = false
            vacancy = now
            take(planner.failed(number, errno: errno, now: now))
        }
    }

    private mutating func take(_ effects: [AttemptEffect], winner: Int? = nil) {
        for effect in effects {
            check(outcome == nil || isAbort(effect), "something happens behind the end: \(effect)")
            switch effect {
            case .start(let number, let pair): begin(number, pair)
            case .abort(let number):
                check(attempts[number].isUnderWay, "what is aborted is not under way")
                check(winner != nil || (number != 0 && now >= end), "attempt \(number) is aborted without need")
                attempts[number].isUnderWay = false
            case .won(let number, let pair):
                check(number == winner && pair == attempts[number].pair, "something else wins")
                attempts[number].isUnderWay = false
                outcome = .won(number, pair)
            case .failed(let errno):
                outcome = .failed(errno)
                checkFailure(errno)
            }
        }
        timer = planner.nextDeadline.map {
            $0 + (scenario.lateness > 0 ? UInt64(chance.below(Int(scenario.lateness))) : 0)
        }
    }

    private func isAbort(_ effect: AttemptEffect) -> Bool {
        switch effect {
        case .abort: true
        case .start, .won, .failed: false
        }
    }

    private mutating func begin(_ number: Int, _ pair: CandidatePair) {
        check(number == attempts.count, "attempts are not numbered as they begin")
        check(number > 0 || pair == scenario.candidates.first, "attempt 0 is not what was asked for")
        check(!attempts.contains { $0.pair == pair }, "a pair is tried twice")
        check(pairs.contains(pair), "a pair from nowhere")
        let fresh = attempts.count { $0.isUnderWay && $0.began + scenario.timing.patience > now }
        check(fresh < scenario.timing.atOnce, "\(fresh) are under way")
        check(number < 2 || now < end, "an attempt begins behind the budget")
        checkPace(number)
        let ends =
            switch scenario.fate(of: pair) {
            case .connects(let after), .fails(let after, _): now + after
            }
        attempts.append(Attempt(pair: pair, began: now, ends: ends))
    }

    // MARK: - Checks

    private mutating func check(_ condition: Bool, _ problem: @autoclosure () -> String) {
        if !condition { problems.append("at \(elapsed) ns: \(problem())") }
    }

    /// The next begins neither before its time nor behind it.
    private mutating func checkPace(_ number: Int) {
        guard number > 0, let last = attempts.last else { return }
        var atOnce = vacancy
        if case .silent = scenario.history, number == 1 { atOnce = vacancy ?? scenario.start }
        check(now >= last.began + scenario.timing.delay || atOnce != nil, "the delay is not kept")
        let room = attempts.filter { $0.isUnderWay }.suffix(scenario.timing.atOnce)
        let roomSince =
            room.count == scenario.timing.atOnce ? room[room.startIndex].began + scenario.timing.patience : 0
        let due = max(atOnce ?? last.began + scenario.timing.delay, roomSince, offered)
        vacancy = nil
        check(now <= due + scenario.lateness, "attempt \(number) begins late")
    }

    private mutating func checkFailure(_ errno: Int32) {
        check(!attempts.contains { $0.isUnderWay }, "it fails while attempts are under way")
        check(now >= end || (hasAll && attempts.count == pairs.count), "it fails before all was tried")
        switch scenario.history {
        case .failed(let asked): check(errno == asked, "another errno than attempt 0's")
        case .notStarted, .silent:
            guard case .fails(_, let asked) = scenario.fate(of: scenario.candidates.first) else {
                return check(false, "attempt 0 would have worked")
            }
            check(errno == asked, "another errno than attempt 0's")
        }
    }

    private mutating func checkEnd() {
        check(planner.isOver && planner.nextDeadline == nil, "there is something behind the end")
        for number in attempts.indices {
            check(planner.connected(number, now: now).isEmpty, "somebody wins behind the end")
            check(planner.failed(number, errno: 1, now: now).isEmpty, "somebody fails behind the end")
        }
        check(planner.timePassed(now: now + seconds(100)).isEmpty, "time passes behind the end")
        check(
            planner.offer([CandidatePair(source: nil, destination: .v4(1))], now: now).isEmpty,
            "more begin behind the end")
        check(!attempts.contains { $0.isUnderWay }, "an attempt is left under way")
        checkTime()
    }

    /// A pair that works is found in the time that its place in the order allows.
    private mutating func checkTime() {
        let firstIsMade =
            switch scenario.history {
            case .failed: false
            case .notStarted, .silent: true
            }
        for (place, pair) in pairs.enumerated() where place > 0 || firstIsMade {
            guard case .connects(let after) = scenario.fate(of: pair) else { continue }
            let turns = UInt64(place) * (scenario.timing.delay + scenario.lateness)
            let rooms = UInt64(place / scenario.timing.atOnce) * (scenario.timing.patience + scenario.lateness)
            // Before the names came, other sources of what was asked for may have begun.
            let early = place == 0 ? 0 : scenario.namesAfter + scenario.timing.patience + scenario.timing.delay
            let bound = scenario.start + early + turns + rooms + after
            guard bound < end || place == 0 else { continue }
            check(now <= bound, "the pair at place \(place) could have connected by \(bound)")
            if case .failed = outcome { check(false, "all failed, and the pair at place \(place) works") }
        }
    }
}
