import CLinux
import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Transport
import Trapping

/// One connection of a donated socket, from its SYN to the leg that the agent gets.
final class HeldConnection {
    private enum Stage {
        /// The agent's backlog is full, or it has died: it is asked again soon.
        case unasked
        /// The agent decides.
        case asked(AgentQuestion)
        /// The SYN is on its way to the gate.
        case released(AgentQuestion)
        case over
    }

    let path: HeldPath
    private let packet: PacketQueue.HeldPacket
    private unowned let donor: Donor
    private var stage = Stage.unasked
    private var timer: TimerToken?

    init(_ packet: PacketQueue.HeldPacket, _ path: HeldPath, of donor: Donor) {
        self.path = path
        self.packet = packet
        self.donor = donor
    }

    func begin() {
        do throws(Errno) {
            stage = .asked(
                try AgentQuestion(at: donor.controlPath, on: donor.loop, self) { (agent) throws(Errno) in
                    try agent.requestHeld(
                        from: AddressBytes(chosenSource), to: AddressBytes(path.destination),
                        process: pid_t(packet.mark & PacketMark.processBits))
                })
        } catch {
            switch error {
            // The keeper has removed it: there will be no agent any more.
            case .noSuchFileOrDirectory, .connectionRefused: finish(.reset)
            default: timer = donor.loop.schedule(self, at: donor.loop.now + AgentQuestion.retry)
            }
        }
    }

    /// Where it comes from by the program's choice, as far as that shows: the wildcard where the kernel would have chosen the same.
    private var chosenSource: SocketAddress {
        guard let natural = try? path.destination.naturalSource().host, natural == path.source.host else {
            return path.source
        }
        return SocketAddress(host: path.source.host.wildcard, port: path.source.port)
    }

    /// The socket has sent its SYN again: it has waited for a second or more.
    func repeated(_ packet: PacketQueue.HeldPacket) {
        switch stage {
        case .unasked, .asked, .over: donor.drop(packet)
        // The first was lost: the gate's queue was full.
        case .released: donor.release(packet, to: .gate)
        }
    }

    /// The leg has come through the gate.
    func arrived(_ leg: borrowing TCPSocket) {
        // An agent that has died resets it, as it does with its others.
        if case .released(let question) = stage {
            _ = try? question.connection.request(.leg(number: 0), passing: leg.number)
        }
        end()
    }

    private func answered(_ response: ControlResponse) {
        guard case .asked(let question) = stage else { return }
        switch response {
        case .accepted:
            stage = .released(question)
            donor.release(packet, to: .gate)
        case .refused(let code): finish(PacketMark.Fate(refusing: Errno(rawValue: code)))
        case .direct, .leg, .held, .attempt, .connectTo, .asked, .notMine, .incoming: finish(.reset)
        }
    }

    /// - Parameter fate: nil: the SYN is never answered, and its socket ends when it has had enough.
    private func finish(_ fate: PacketMark.Fate?) {
        if let fate { donor.release(packet, to: fate) } else { donor.drop(packet) }
        end()
    }

    private func end() {
        dropQuestion()
        stage = .over
        if let timer { donor.loop.cancel(timer) }
        timer = nil
        donor.forget(self)
    }
}

extension HeldConnection: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            guard let response = try response() else { return }
            answered(response)
        } catch {
            lost()
        }
    }

    private func response() throws(Errno) -> ControlResponse? {
        switch stage {
        case .asked(let question), .released(let question): try question.connection.receiveAnswer()
        case .unasked, .over: nil
        }
    }

    /// The agent has died: the next one is asked. What it knew of a released SYN is gone with it.
    private func lost() {
        switch stage {
        case .asked:
            dropQuestion()
            stage = .unasked
            timer = donor.loop.schedule(self, at: donor.loop.now + AgentQuestion.retry)
        case .released: end()
        case .unasked, .over: break
        }
    }

    private func dropQuestion() {
        switch stage {
        case .asked(let question), .released(let question): question.drop()
        case .unasked, .over: break
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        begin()
    }
}

extension PacketMark.Fate {
    /// What makes connect(2) end with an error; nil where only silence does.
    fileprivate init?(refusing error: Errno) {
        switch error {
        case .noRouteToHost, .hostIsDown: self = .hostUnreachable
        case .networkUnreachable: self = .networkUnreachable
        case .permissionDenied, .notPermitted: self = .prohibited
        case .timedOut: return nil
        default: self = .reset
        }
    }
}
