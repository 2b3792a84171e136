import CLinux
import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Trapping

/// A donated socket that listens, in the namespace: the agent listens at the same address outside, and whoever connects there is
/// connected here, from the address that he has.
final class ListeningSocket {
    private enum Stage {
        /// Nobody listens outside, for the moment.
        case closed
        case asked(AgentQuestion, waiting: TrapListener.Call?)
        case open(AgentQuestion)
        case over
    }

    /// How soon one is asked again that cannot listen.
    private static let longRetry = Interval.seconds(1)

    let address: SocketAddress
    private let isDual: Bool
    private unowned let donor: Donor
    private var stage = Stage.closed
    private var timer: TimerToken?

    init(at address: SocketAddress, isDual: Bool, of donor: Donor) {
        self.address = address
        self.isDual = isDual
        self.donor = donor
    }

    /// Whether a connection to this address would be this socket's.
    func covers(_ destination: SocketAddress) -> Bool {
        guard destination.port == address.port else { return false }
        return address.isWildcard ? isDual || address.family == destination.family : address.unmapped == destination
    }

    /// - Parameter call: listen(2), which is to be answered when it is known whether anybody can listen there outside.
    func begin(answering call: TrapListener.Call?) {
        do throws(Errno) {
            let question = try AgentQuestion(at: donor.controlPath, on: donor.loop, self) { (agent) throws(Errno) in
                try agent.request(.listen(at: AddressBytes(address), isDual: isDual))
            }
            stage = .asked(question, waiting: call)
        } catch {
            stage = .closed
            if error != .noSuchFileOrDirectory { tryAgain(after: AgentQuestion.retry) }
            // Without an agent, nobody outside reaches it; the program itself does. Last, as that may end this.
            if let call { donor.listen(call, self) }
        }
    }

    private func tryAgain(after pause: Interval) {
        if timer == nil { timer = donor.loop.schedule(self, at: donor.loop.now + pause) }
    }

    /// Nobody listens here any more.
    func end() {
        switch stage {
        case .asked(let question, _), .open(let question): question.drop()
        case .closed, .over: break
        }
        if let timer { donor.loop.cancel(timer) }
        timer = nil
        stage = .over
    }

    private func answered(_ response: ControlResponse) {
        switch (stage, response) {
        case (.asked(let question, let call), .accepted):
            stage = .open(question)
            if let call { donor.listen(call, self) }
        case (.asked(let question, let call), .refused(let code)):
            question.drop()
            stage = .closed
            if let call {
                donor.refuse(call, Errno(rawValue: code), self)
            } else {
                // Somebody else was quicker than the new agent.
                tryAgain(after: ListeningSocket.longRetry)
            }
        case (.open(let question), .incoming(let source, let number)):
            guard case .incoming(let destination, _)? = try? question.connection.receiveAnswer() else { return lost() }
            admit(from: source, to: destination, number, question)
        default: lost()
        }
    }

    private func admit(
        from source: AddressBytes, to destination: AddressBytes, _ number: UInt64, _ question: AgentQuestion
    ) {
        guard let source = SocketAddress(source), let destination = SocketAddress(destination) else { return lost() }
        do throws(Errno) {
            let leg = try InwardConnection.make(from: source.unmapped, to: destination.unmapped)
            try question.connection.request(.leg(number: number), passing: leg.number)
        } catch {
            _ = try? question.connection.request(.legFailed(error.rawValue, number: number))
            // It has been closed: outside too, now.
            if error == .connectionRefused { donor.forget(self) }
        }
    }

    private func lost() {
        switch stage {
        case .asked(let question, let call):
            question.drop()
            begin(answering: call)
        case .open(let question):
            question.drop()
            stage = .closed
            tryAgain(after: AgentQuestion.retry)
        case .closed, .over: break
        }
    }
}

extension ListeningSocket: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            while let response = try response() { answered(response) }
        } catch {
            lost()
        }
    }

    private func response() throws(Errno) -> ControlResponse? {
        switch stage {
        case .asked(let question, _), .open(let question): try question.connection.receiveAnswer()
        case .closed, .over: nil
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        if case .closed = stage { begin(answering: nil) }
    }
}
