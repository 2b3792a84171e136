import SessionProtocol
import Testing

@testable import Engine

private final class Alarm: TimerHandler {
    let deadline: Instant
    init(deadline: Instant) { self.deadline = deadline }
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {}
}

@Suite struct TimerWheelTests {
    private static let millisecond: UInt64 = 1_000_000

    /// The wheel against a sorted list: the same timers, in the same order, none before its deadline and none more than a tick
    /// after it.
    @Test(arguments: 0..<8 as Range<UInt64>) func agreesWithASortedList(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var now = Instant(nanoseconds: .random(in: 0..<1 << 50, using: &random))
        var wheel = TimerWheel(now: now)
        var model: [(tick: UInt64, order: Int, token: TimerToken, alarm: Alarm)] = []
        var order = 0
        var lastTick = now.nanoseconds / Self.millisecond

        for _ in 0..<2_000 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                // Delays of every magnitude from nothing to weeks, so that every level is used.
                let delay = UInt64.random(in: 0..<1 << UInt64.random(in: 1...51, using: &random), using: &random)
                let alarm = Alarm(deadline: now + Interval(nanoseconds: delay))
                let tick = max((alarm.deadline.nanoseconds + Self.millisecond - 1) / Self.millisecond, lastTick + 1)
                model.append((tick, order, wheel.schedule(alarm, at: alarm.deadline), alarm))
                order += 1
            case 5..<7 where !model.isEmpty:
                let victim = model.remove(at: .random(in: model.indices, using: &random))
                let cancelled = (wheel.cancel(victim.token), wheel.cancel(victim.token))
                #expect(cancelled == (true, false), "a token is good once")
            default:
                let step = UInt64.random(in: 0..<1 << UInt64.random(in: 1...45, using: &random), using: &random)
                now = now + Interval(nanoseconds: step)
                lastTick = now.nanoseconds / Self.millisecond
                var due = model.filter { $0.tick <= lastTick }.sorted { ($0.tick, $0.order) < ($1.tick, $1.order) }[...]
                model.removeAll { $0.tick <= lastTick }
                while let (handler, token) = wheel.popExpired(at: now) {
                    let first = due.popFirst()
                    let expected = try #require(first)
                    #expect(token == expected.token)
                    #expect(handler === expected.alarm)
                    #expect(expected.alarm.deadline <= now)
                }
                #expect(due.isEmpty)
            }
            let earliest = model.map(\.tick).min()
            #expect((wheel.nextWake == nil) == (earliest == nil))
            if let earliest, let wake = wheel.nextWake {
                #expect(wake.nanoseconds / Self.millisecond <= earliest, "the loop would sleep past a timer")
                #expect(wake > now, "the loop would not sleep at all")
            }
        }
    }

    /// Waking when the wheel says so, and at no other time, fires a timer in its tick, after few idle wake-ups.
    @Test func wakesInTime() throws {
        var now = Instant(nanoseconds: 77 * Self.millisecond)
        var wheel = TimerWheel(now: now)
        let alarm = Alarm(deadline: now + .hours(24))
        _ = wheel.schedule(alarm, at: alarm.deadline)
        var wakes = 0
        while let wake = wheel.nextWake {
            now = wake
            wakes += 1
            if let (handler, _) = wheel.popExpired(at: now) { #expect(handler === alarm) }
        }
        #expect(now == alarm.deadline)
        #expect(wakes <= 8)
    }

    /// A handler that sets its timer to the past again and again gets one call a tick.
    @Test func pastDeadlinesWaitForTheNextTick() {
        let now = Instant(nanoseconds: 5 * Self.millisecond)
        var wheel = TimerWheel(now: now)
        let alarm = Alarm(deadline: Instant(nanoseconds: 0))
        _ = wheel.schedule(alarm, at: alarm.deadline)
        let fired = [now, now + .milliseconds(1), now + .milliseconds(1)].map { wheel.popExpired(at: $0) != nil }
        #expect(fired == [false, true, false])
    }

    @Test func farthestInstant() {
        var wheel = TimerWheel(now: Instant(nanoseconds: 1))
        let alarm = Alarm(deadline: Instant(nanoseconds: .max))
        let token = wheel.schedule(alarm, at: alarm.deadline)
        let fired = wheel.popExpired(at: Instant(nanoseconds: 1 << 62)) != nil
        let cancelled = wheel.cancel(token)
        #expect(!fired && cancelled)
        #expect(wheel.nextWake == nil)
    }
}
