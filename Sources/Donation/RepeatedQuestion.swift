import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Trapping

/// A question that one agent after the other is asked, until one has answered.
final class RepeatedQuestion {
    enum Answer: ~Copyable {
        case response(ControlResponse, Descriptor?)
        /// There will be no agent any more.
        case nobody
    }

    private enum Stage {
        /// The agent's backlog is full, or it has died: it is asked again soon.
        case unasked(TimerToken)
        case asked(AgentQuestion)
        case over
    }

    private let path: String
    private let loop: EventLoop
    private let ask: (borrowing ControlConnection) throws(Errno) -> Void
    private let answered: (consuming Answer) -> Void
    private var stage = Stage.over

    init(
        at path: String, on loop: EventLoop, ask: @escaping (borrowing ControlConnection) throws(Errno) -> Void,
        answered: @escaping (consuming Answer) -> Void
    ) {
        self.path = path
        self.loop = loop
        self.ask = ask
        self.answered = answered
    }

    func begin() {
        do throws(Errno) {
            stage = .asked(try AgentQuestion(at: path, on: loop, self, ask: ask))
        } catch {
            switch error {
            // The keeper has removed it.
            case .noSuchFileOrDirectory, .connectionRefused:
                stage = .over
                answered(.nobody)
            default: stage = .unasked(loop.schedule(self, at: loop.now + AgentQuestion.retry))
            }
        }
    }

    /// Nothing is heard of it any more.
    func drop() {
        switch stage {
        case .unasked(let timer): loop.cancel(timer)
        case .asked(let question): question.drop()
        case .over: break
        }
        stage = .over
    }
}

extension RepeatedQuestion: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard case .asked(let question) = stage else { return }
        do throws(Errno) {
            guard var answer = try question.connection.receivePassed() else { return }
            drop()
            answered(.response(answer.response, answer.descriptor.take()))
        } catch {
            question.drop()
            stage = .unasked(loop.schedule(self, at: loop.now + AgentQuestion.retry))
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        if case .unasked = stage { begin() }
    }
}
