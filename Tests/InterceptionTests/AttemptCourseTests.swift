import CLinux
import Testing

@testable import Interception

@Suite("The course of an attempt on the application's own socket")
struct AttemptCourseTests {
    private static let elsewhere = AddressBytes(count: 16) { UInt8($0) }!

    private func course(
        _ own: AttemptCourse.Own = .underWay, silence: Int32? = 250, budget: Int64 = 1000, waits: Bool = true,
        timeout: Int64? = nil
    ) -> AttemptCourse {
        AttemptCourse(own, at: 1000, silence: silence, budget: budget, waits: waits, timeout: timeout)
    }

    @Test("an answer in time ends it, and the agent has no part in it")
    func healthy() {
        var course = course()
        #expect(course.step(at: 1000, isInterrupted: false) == .wait(until: 1250))
        course.socketSaid(error: 0, state: 1)
        #expect(course.step(at: 1010, isInterrupted: false) == .end(.connected))
    }

    @Test("silence has the agent asked, once, and then there is time for its answer")
    func silence() {
        var course = course()
        #expect(course.step(at: 1250, isInterrupted: false) == .ask(0))
        course.agentWasAsked(heard: true)
        #expect(course.step(at: 1250, isInterrupted: false) == .wait(until: 1250 + 1000 + ControlMessage.patience))
        #expect(course.step(at: 1250 + 1000 + ControlMessage.patience, isInterrupted: false) == .wait(until: nil))
    }

    @Test("a failure that another path may mend has the agent asked, any other ends it")
    func failures() {
        var refused = course(.failed(ECONNREFUSED))
        #expect(refused.step(at: 1000, isInterrupted: false) == .ask(ECONNREFUSED))
        refused.agentWasAsked(heard: false)
        #expect(refused.step(at: 1000, isInterrupted: false) == .end(.failed(ECONNREFUSED)))
        var wrong = course(.failed(EINVAL))
        #expect(wrong.step(at: 1000, isInterrupted: false) == .end(.failed(EINVAL)))
    }

    @Test("who does not wait is told that it is under way when the agent has had its time")
    func notWaiting() {
        var course = course(waits: false)
        #expect(course.step(at: 1250, isInterrupted: false) == .ask(0))
        course.agentWasAsked(heard: true)
        #expect(
            course.step(at: 1250 + ControlMessage.patience, isInterrupted: false) == .end(.underWay))
    }

    @Test("signals and timeouts end the wait of who waits")
    func interruptions() {
        var course = course(timeout: 100)
        #expect(course.step(at: 1000, isInterrupted: false) == .wait(until: 1100))
        #expect(course.step(at: 1050, isInterrupted: true) == .end(.interrupted))
        #expect(course.step(at: 1100, isInterrupted: false) == .end(.underWay))
    }

    @Test("an agent that took the socket off its path and died leaves it to be begun again")
    func surrendered() {
        var course = course()
        course.agentWasAsked(heard: true)
        course.socketSaid(error: 0, state: 7)
        #expect(course.step(at: 1300, isInterrupted: false) == .wait(until: 1250 + 1000 + ControlMessage.patience))
        course.agentHasGone()
        #expect(course.step(at: 1300, isInterrupted: false) == .beginAgain)
    }

    @Test("the agent's word counts")
    func answers() {
        var course = course()
        course.agentWasAsked(heard: true)
        #expect(course.agentSaid(.connectTo(Self.elsewhere)) == .elsewhere(Self.elsewhere))
        #expect(course.agentSaid(.refused(EHOSTUNREACH)) == .failed(EHOSTUNREACH))
        #expect(course.agentSaid(.direct) == nil)
        #expect(course.step(at: 1300, isInterrupted: false) == .wait(until: nil))
    }

    @Test("without an agent's help, only the socket, signals and the limit count")
    func alone() {
        var patient = course(silence: nil)
        #expect(!patient.hearsAgent)
        #expect(patient.step(at: 1000, isInterrupted: false) == .wait(until: nil))
        var hasty = course(silence: nil, waits: false)
        #expect(hasty.step(at: 1000, isInterrupted: false) == .end(.underWay))
    }
}
