import SessionProtocol
import Testing

@testable import Simulation

@Suite struct ScheduleTests {
    @Test func earliestFirstAndInOrderOfAddition() {
        var random = SplitMix(state: 7)
        var schedule = Schedule()
        var expected: [(time: UInt64, number: Int)] = []
        for number in 0..<500 {
            let time = random.next() % 50
            expected.append((time, number))
            schedule.add(.admissionOver(number), at: Instant(nanoseconds: time))
        }
        expected.sort { ($0.time, $0.number) < ($1.time, $1.number) }
        for entry in expected {
            guard let (time, event) = schedule.next(), case .admissionOver(let number) = event else {
                Issue.record("an event is missing")
                return
            }
            #expect(time.nanoseconds == entry.time && number == entry.number)
        }
        #expect(schedule.next()?.time == nil)
    }
}
