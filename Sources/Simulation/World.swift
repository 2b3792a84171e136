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
    /// No dial succeeds before.
    var outageUntil = Instant(nanoseconds: 0)
    var isFaulty = true

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

    /// Applications are quick and paths too; what does not move for this long waits for a timer that it should not need.
    static let stallLimit = Interval.seconds(3)
    /// After the faults: every end knows of every broken connection, and every dial and handshake has had its limit.
    static let settlingTime = Interval.seconds(25)
    static let eventLimit = 2_000_000

    init(seed: UInt64, canary: Canary?, isTraced: Bool) {
        var random = SplitMix(state: seed)
        let scenario = Scenario(&random)
        secret = random.next()
        openMessage = World.open(&random)
        let configuration = World.configuration(scenario.opener, &random)
        opener = Endpoint(
            role: .opener, plan: scenario.opener, session: .opener(openMessage, configuration, now), now)
        admission = Admission(instance: random.next())
        self.scenario = scenario
        self.canary = canary
        self.random = random
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
        let heals = now + scenario.faults.healsAfter
        schedule.add(.heal, at: heals)
        if scenario.faults.healsAfter > .zero { scheduleFault() }
        scheduleAttack()
        if let after = scenario.opener.dropsAfter { schedule.add(.drop(.opener), at: now + after) }
        settle(.opener)
        let limits = [scenario.opener.suspendLimit, scenario.acceptor.suspendLimit].max() ?? .zero
        let deadline = heals + limits + .seconds(120)
        while complaint == nil, !isDone, let (time, event) = schedule.next() {
            now = time
            trace.now = time
            statistics.events += 1
            handle(event)
            watchProgress(since: heals)
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

    private func handle(_ event: Event) {
        switch event {
        case .arrival(let id, let role): arrive(id, from: role)
        case .end(let id, let role, let failure): end(id, at: role, failure)
        case .dialed(let number, let outcome): dialed(number, outcome)
        case .tick(let role): tick(role)
        case .applicationWrites(let role): applicationWrites(role)
        case .applicationReads(let role): applicationReads(role)
        case .applicationAborts(let role): applicationAborts(role)
        case .drop(let role): drop(role)
        case .targetAnswers: targetAnswers()
        case .admissionOver(let id): admissionOver(id)
        case .fault: strike()
        case .attack: attack()
        case .heal: heal()
        }
    }

    /// While a link is whole, and at the latest when the faults are over, whatever the applications still wait for must
    /// come nearer all the time.
    private func watchProgress(since heals: Instant) {
        guard let acceptor else { return }
        let sum = progress(of: opener) &+ progress(of: acceptor)
        if sum != progress || (now < heals + World.settlingTime && !hasWholeLink(acceptor)) {
            progress = sum
            lastProgress = now
        }
        guard now - lastProgress > World.stallLimit, !opener.applicationIsDone, !acceptor.applicationIsDone else {
            return
        }
        let wantsToWrite = [opener, acceptor].contains { !$0.hasFinished && $0.written < UInt64($0.plan.total) }
        let hasUndelivered = opener.session.undelivered + acceptor.session.undelivered > 0
        if wantsToWrite || hasUndelivered { complain("nothing moves since \(lastProgress.nanoseconds) ns: \(state)") }
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
        let isLate = connections[id].pipes.contains { max($0.lastArrival, $0.heldUntil) > now }
        return !connections[id].isCut && !connections[id].isOpen.contains(false) && !isLate
    }
}

/// What a run was like.
struct Statistics {
    var time = Interval.zero
    var events: UInt64 = 0
    var bytes: UInt64 = 0
    var cuts: UInt64 = 0
    var joins: UInt64 = 0
    var attacks: UInt64 = 0
}
