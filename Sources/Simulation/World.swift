import SessionProtocol

/// One run: both endpoints, the network, the clock, the faults, all from one seed.
final class World {
    let scenario: Scenario
    let canary: Canary?
    var random: SplitMix
    var trace: Trace
    var statistics = Statistics()

    var now = Instant(nanoseconds: 0)
    var schedule = Schedule()
    var connections: [Connection] = []
    var paths: [Path]
    /// By role.
    var processes = [ProcessState.running, .running]
    /// By role: what waits for its process to run again.
    var postponed: [[Event]] = [[], []]
    /// By role: how often its process has been succeeded.
    var incarnations = [0, 0]
    /// No dial succeeds before.
    var outageUntil = Instant(nanoseconds: 0)
    var isFaulty = true
    let healsAt: Instant

    /// What the private halves of both key shares would be.
    let secret: UInt64
    let openMessage: OpenMessage
    let opener: Endpoint
    /// Made when the target has accepted.
    var acceptor: Endpoint?
    var admission: Admission
    /// What attackers have seen on the wire, by the role of its sender.
    var overheard: [[[UInt8]]] = [[], []]
    var dropped = [false, false]

    /// Something has moved, last at this time.
    private var lastProgress = Instant(nanoseconds: 0)
    private var progress: UInt64 = 0
    private(set) var complaint: String?

    /// Applications are quick; what does not move for this long, and some round trips, waits for a timer that it should
    /// not need.
    let stallLimit: Interval
    /// After the faults: every end knows of every broken connection, and every dial and handshake has had its limit.
    let settlingTime: Interval
    static let eventLimit = 2_000_000

    init(seed: UInt64, canary: Canary?, isTraced: Bool) {
        var random = SplitMix(state: seed)
        let scenario = Scenario(Family(seed: seed), &random)
        secret = random.next()
        openMessage = World.open(&random)
        let configuration = World.configuration(scenario.opener, &random)
        opener = Endpoint(
            role: .opener, plan: scenario.opener, session: .opener(openMessage, configuration, now), now)
        admission = Admission(instance: random.next())
        paths = scenario.paths.map { Path($0, Instant(nanoseconds: 0)) }
        self.scenario = scenario
        healsAt = Instant(nanoseconds: 0) + scenario.faults.healsAfter
        self.canary = canary
        self.random = random
        let roundTrip = paths.map { $0.roundTrip }.max() ?? .zero
        stallLimit = .seconds(3) + roundTrip * 6
        settlingTime = .seconds(25) + roundTrip * 6 + (scenario.hasSilence ? World.keepaliveLimit : .zero)
        trace = Trace(isOn: isTraced)
    }

    private static func open(_ random: inout SplitMix) -> OpenMessage {
        guard let destination = Destination(address: [127, 0, 0, 1], port: 1) else {
            preconditionFailure("an IPv4 address has 4 bytes")
        }
        return OpenMessage(
            session: SessionID(high: random.next(), low: random.next()), keyShare: random.bytes(Wire.keyShareLength),
            destination: destination, suspendLimit: .max)
    }

    private static func configuration(
        _ plan: Scenario.Application, _ random: inout SplitMix
    ) -> SessionConfiguration {
        SessionConfiguration(
            window: 65_536, maximumWindow: plan.maximumWindow, suspendLimit: plan.suspendLimit, seed: random.next())
    }

    func configuration(of role: Role) -> SessionConfiguration { World.configuration(scenario[role], &random) }

    func endpoint(_ role: Role) -> Endpoint? { role == .opener ? opener : acceptor }

    func complain(_ text: String) {
        trace.note(text)
        if complaint == nil { complaint = text }
    }

    // MARK: The run

    func run() {
        schedule.add(.heal, at: healsAt)
        if scenario.faults.healsAfter > .zero { scheduleFault() }
        scheduleAttack()
        if let after = scenario.opener.dropsAfter { schedule.add(.drop(.opener), at: now + after) }
        settle(.opener)
        let limits = [scenario.opener.suspendLimit, scenario.acceptor.suspendLimit].max() ?? .zero
        let deadline = healsAt + settlingTime + limits + .seconds(120)
        while complaint == nil, !isDone, let (time, event) = schedule.next() {
            now = time
            trace.now = time
            statistics.events += 1
            handle(event)
            watchProgress()
            if now > deadline { complain("the run does not end: \(state)") }
            if statistics.events > World.eventLimit { complain("too many events: \(state)") }
        }
        if complaint == nil, !isDone { complain("nothing happens any more: \(state)") }
        if complaint == nil { checkEndings() }
        statistics.time = now - Instant(nanoseconds: 0)
    }

    private var isDone: Bool {
        opener.isDone && admission.pending == nil && acceptor?.isDone ?? true
    }

    private var state: String {
        func describe(_ endpoint: Endpoint?) -> String {
            guard let endpoint else { return "none" }
            return "\(endpoint.session.state) sent \(endpoint.session.acknowledged)/\(endpoint.session.taken) "
                + "received \(endpoint.session.delivered)/\(endpoint.session.receivedPosition) "
                + "links \(endpoint.links.map { $0.number }) ending \(endpoint.ending.map { "\($0)" } ?? "none")"
        }
        return "opener \(describe(opener)); acceptor \(describe(acceptor))"
    }

    func handle(_ event: Event) {
        if postpone(event) { return }
        switch event {
        case .arrival(let id, let role): arrive(id, from: role)
        case .received(let id, let role, let bytes): received(bytes, on: id, at: role)
        case .userTimeout(let id, let role): userTimeout(id, at: role)
        case .end(let id, let role, let failure): end(id, at: role, failure)
        case .dialed(let dial, let outcome): dialed(dial, outcome)
        case .accepted(let id): accept(id)
        case .tick(let role): tick(role)
        case .applicationWrites(let role): applicationWrites(role)
        case .applicationReads(let role): applicationReads(role)
        case .applicationAborts(let role): applicationAborts(role)
        case .drop(let role): drop(role)
        case .targetAnswers: targetAnswers()
        case .admissionOver(let id): admissionOver(id)
        case .fault: strike()
        case .attack: attack()
        case .continues(let role): continues(role)
        case .restarts: break
        case .addressed(let path): addressed(path)
        case .noticed(let news): noticed(news)
        case .heal: heal()
        }
    }

    /// While a link is whole, and at the latest when the faults are over, whatever the applications still wait for must
    /// come nearer all the time.
    private func watchProgress() {
        guard let acceptor else { return }
        let sum = progress(of: opener) &+ progress(of: acceptor)
        if sum != progress || (now < healsAt + settlingTime && !hasWholeLink(acceptor)) || !isAwaited(acceptor) {
            progress = sum
            lastProgress = now
        }
        if now - lastProgress > stallLimit { complain("nothing moves since \(lastProgress.nanoseconds) ns: \(state)") }
    }

    /// Bytes are under way to an application that would take them.
    private func isAwaited(_ acceptor: Endpoint) -> Bool {
        func awaits(_ reader: Endpoint, _ writer: Endpoint) -> Bool {
            writer.session.undelivered > 0 && !reader.applicationIsDone && reader.buffered < reader.plan.legCapacity
        }
        return awaits(opener, acceptor) || awaits(acceptor, opener)
    }

    /// A sum that changes whenever something has come nearer to its end.
    private func progress(of endpoint: Endpoint) -> UInt64 {
        endpoint.session.taken &+ endpoint.session.acknowledged &+ endpoint.session.delivered &+ endpoint.consumed
            &+ UInt64(endpoint.links.first { endpoint.session.isCurrent($0.number) }?.connection ?? 0) << 32
            &+ (endpoint.ending == nil ? 0 : 1 << 50)
    }

    /// The opener's current link has joined at the acceptor, and nothing keeps back what is written to it.
    private func hasWholeLink(_ acceptor: Endpoint) -> Bool {
        guard let id = opener.links.first(where: { opener.session.isCurrent($0.number) })?.connection,
            acceptor.link(over: id) != nil
        else { return false }
        let isLate = connections[id].pipes.contains {
            max($0.lastArrival, $0.heldUntil) > now || $0.isForgotten || $0.stall != nil
        }
        return !connections[id].isCut && !connections[id].isOpen.contains(false) && !isLate
            && paths[connections[id].path].isClear(now) && isRunning(.opener) && isRunning(.acceptor)
    }
}
