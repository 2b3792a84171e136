import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage

/// A question about a trapped call, which is asked again where an agent dies before it answers, as the preload library does.
final class AgentInquiry {
    /// What came of it.
    enum Outcome {
        /// After `attempt`, more may follow.
        case response(ControlResponse)
        /// No agent there, or it went away: carry on as if USL were not installed.
        case unreachable
        /// The agent is alive and silent.
        case timedOut
    }

    private enum Stage {
        /// The agent's backlog is full, or it has died: it is asked again soon.
        case unasked
        case asked(AgentQuestion)
        /// It has answered, and may say more.
        case answered(AgentQuestion)
        case over
    }

    private let path: String
    private let loop: EventLoop
    private let ask: (borrowing ControlConnection) throws(Errno) -> Void
    private let ended: (Outcome) -> Void
    private let deadline: Instant
    private var attemptsLeft = ControlMessage.attempts
    private var stage = Stage.unasked
    private var timer: TimerToken?

    /// - Parameters:
    ///   - ask: asks over a connection of its own.
    ///   - ended: called once, and after `attempt` once more; never while this is being made.
    init(
        at path: String, on loop: EventLoop, ask: @escaping (borrowing ControlConnection) throws(Errno) -> Void,
        ended: @escaping (Outcome) -> Void
    ) {
        (self.path, self.loop, self.ask, self.ended) = (path, loop, ask, ended)
        deadline = loop.now + .milliseconds(UInt64(ControlMessage.patience))
    }

    func begin() {
        do throws(Errno) {
            stage = .asked(try AgentQuestion(at: path, on: loop, self, ask: ask))
            wait(until: deadline)
        } catch {
            switch error {
            // The keeper has removed it: there will be no agent any more.
            case .noSuchFileOrDirectory, .connectionRefused: end(.unreachable)
            default: tryAgain()
            }
        }
    }

    /// Says something more; false if the agent has gone.
    func say(_ request: ControlRequest, passing descriptor: Int32) -> Bool {
        guard case .answered(let question) = stage else { return false }
        return (try? question.connection.request(request, passing: descriptor)) != nil
    }

    /// Nothing is heard of it any more.
    func drop() {
        switch stage {
        case .asked(let question), .answered(let question): question.drop()
        case .unasked, .over: break
        }
        stage = .over
        stopWaiting()
    }

    private func tryAgain() {
        stage = .unasked
        wait(until: min(deadline, loop.now + AgentQuestion.retry))
    }

    private func wait(until end: Instant) {
        stopWaiting()
        timer = loop.schedule(self, at: end)
    }

    private func stopWaiting() {
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    private func end(_ outcome: Outcome) {
        drop()
        ended(outcome)
    }

    private func heard(_ response: ControlResponse, _ question: AgentQuestion) {
        guard case .attempt = response else { return end(.response(response)) }
        stopWaiting()
        stage = .answered(question)
        ended(.response(response))
    }

    /// The agent has died.
    private func lost() {
        switch stage {
        case .asked(let question):
            question.drop()
            attemptsLeft -= 1
            if attemptsLeft > 0 { tryAgain() } else { end(.unreachable) }
        case .answered: end(.unreachable)
        case .unasked, .over: break
        }
    }
}

extension AgentInquiry: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            switch stage {
            case .asked(let question), .answered(let question):
                if let response = try question.connection.receiveAnswer() { heard(response, question) }
            case .unasked, .over: break
            }
        } catch {
            lost()
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        switch stage {
        case .unasked where loop.now < deadline: begin()
        case .unasked, .asked: end(.timedOut)
        case .answered, .over: break
        }
    }
}
