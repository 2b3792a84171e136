import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import SystemPackage

/// One port on which a program of this agent listens, from there on offered to a gateway of this user. On the main loop.
///
/// What stands for the offer is in escrow at both ends, so neither this process nor the gateway's worker has to live for it. Where the
/// gateway ends as a whole, another is looked for.
final class ServerOffer {
    /// How long a gateway may take to answer.
    private static let patience = Interval.seconds(2)
    /// How soon another gateway is looked for when one has ended.
    private static let pause = Interval.milliseconds(100)

    private enum Stage {
        /// Nobody has been asked yet, or a moment after a failure.
        case resting
        /// A gateway has been asked; these are to be asked if it does not take the offer.
        case asking(ArraySlice<RuntimeDirectory.Entry>)
        /// One that was started for it has not said anything yet.
        case starting
        case taken
    }

    private let agent: Agent
    private unowned let desk: OfferDesk
    let offer: Offer
    private var stage = Stage.resting
    private var channel: OfferChannel?
    private var key: EscrowKey?
    private var registration: Registration?
    private var timer: TimerToken?

    init(_ offer: Offer, _ agent: Agent, at desk: OfferDesk) {
        self.offer = offer
        self.agent = agent
        self.desk = desk
    }

    /// Goes on with what a predecessor has offered.
    func adopt(_ channel: consuming OfferChannel, _ key: EscrowKey) {
        let isTaken = channel.isTaken
        stage = isTaken ? .taken : .asking([])
        self.key = key
        if watch(channel), !isTaken { wait(ServerOffer.patience) }
    }

    /// Looks for a gateway.
    func begin() {
        let all = (try? desk.runtime?.entries()) ?? []
        ask(all.filter { $0.role == .gateway }[...])
    }

    func beginSoon() {
        letGo()
        stage = .resting
        wait(ServerOffer.pause)
    }

    private func ask(_ gateways: ArraySlice<RuntimeDirectory.Entry>) {
        letGo()
        var others = gateways
        guard let gateway = others.popFirst() else {
            stage = .resting
            return desk.start(self)
        }
        stage = .asking(others)
        do throws(Errno) {
            let connection = try ControlConnection(path: gateway.path)
            let theirs = try makeChannel()
            try connection.request(offer.request, passing: theirs.descriptor.number)
            wait(ServerOffer.patience)
        } catch {
            ask(others)
        }
    }

    /// What a gateway that is started for this offer shall get.
    func startsWithGateway() throws(Errno) -> OfferChannel {
        stage = .starting
        return try makeChannel()
    }

    /// Makes both ends, and gives the other away.
    private func makeChannel() throws(Errno) -> OfferChannel {
        var theirs: OfferChannel?
        let mine = try OfferChannel.make(for: offer, gateway: &theirs)
        // The keeper may take its copy when this end has gone again.
        let descriptor = try mine.descriptor.duplicate()
        let number = descriptor.number
        let copy = Handoff(descriptor)
        key = agent.escrow.hold(.offer, number) { _ in _ = copy.take() }
        guard watch(mine), let theirs = theirs.take() else { throw .noMemory }
        return theirs
    }

    private func watch(_ channel: consuming OfferChannel) -> Bool {
        let number = channel.descriptor.number
        self.channel = consume channel
        registration = try? agent.loop.register(number, self)
        return registration != nil
    }

    /// Withdraws what was said to a gateway.
    func letGo() {
        if let timer { agent.loop.cancel(timer) }
        if let registration { agent.loop.deregister(registration) }
        if let key { agent.escrow.release(key) }
        (timer, registration, key) = (nil, nil, nil)
        channel = nil
    }

    private func wait(_ interval: Interval) {
        if let timer { agent.loop.cancel(timer) }
        timer = agent.loop.schedule(self, at: agent.loop.now + interval)
    }

    private func taken() {
        let started = if case .starting = stage { true } else { false }
        stage = .taken
        if let timer { agent.loop.cancel(timer) }
        timer = nil
        agent.notices.explain(
            "port \(offer.address.port) is offered through \(started ? "a gateway of its own" : "this user's gateway")")
        desk.taken(self)
    }
}

extension ServerOffer: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        let isOver = channel?.isOver ?? false
        switch stage {
        case .asking(let others):
            if isOver { ask(others) } else if channel?.isTaken == true { taken() }
        // That it cannot start shows by its end.
        case .starting: if !isOver, channel?.isTaken == true { taken() }
        case .taken:
            guard isOver else { return }
            agent.notices.explain("the gateway that served port \(offer.address.port) has ended")
            beginSoon()
        case .resting: break
        }
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        switch stage {
        case .resting: begin()
        case .asking(let others): ask(others)
        case .starting, .taken: break
        }
    }
}
