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
    /// The path of the opener's last current link.
    var lastCurrentPath: Int?
    /// Dials that have had no answer, some of which are given up.
    var dials: [Dial] = []
    /// By role.
    var processes = [ProcessState.running, .running]
    /// When the acceptor's process last went on.
    var lastContinued = Instant(nanoseconds: 0)
    /// By role: what waits for its process to run again.
    var postponed: [[Event]] = [[], []]
    /// By role: how often its process has been succeeded.
    var incarnations = [0, 0]
    /// Processes that have died in this step, and whose kernel has yet to clean up.
    var corpses: [Role] = []
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

    /// By the role of the writer.
    var watches = [Watch(), Watch()]
    /// On any path.
    let longestRoundTrip: Interval
    private(set) var complaint: String?

    static let eventLimit = 2_000_000
    /// So many events without any time between them are a loop.
    static let instantLimit = 20_000
    private var eventsOfThisInstant = 0

    init(seed: UInt64, canary: Canary?, events: Int = 0) {
        var random = SplitMix(state: seed)
        let scenario = Scenario(Family(seed: seed), &random)
        secret = random.next()
        openMessage = World.open(scenario, &random)
        var configuration = World.configuration(scenario.opener, &random)
        configuration.mode = scenario.mode
        configuration.paths = scenario.paths.indices.map { PathID(UInt8($0)) }
        opener = Endpoint(
            role: .opener, plan: scenario.opener, configuration, session: .opener(openMessage, configuration, now), now)
        admission = Admission(instance: random.next())
        paths = scenario.paths.map { Path($0, Instant(nanoseconds: 0)) }
        self.scenario = scenario
        healsAt = Instant(nanoseconds: 0) + scenario.faults.healsAfter
        self.canary = canary
        self.random = random
        longestRoundTrip = paths.map { $0.longestRoundTrip(scenario) }.max() ?? .zero
        trace = Trace(length: events)
    }

    private static func open(_ scenario: Scenario, _ random: inout SplitMix) -> OpenMessage {
        let limit = UInt32(clamping: scenario.opener.suspendLimit.seconds)
        guard let destination = Destination(address: [127, 0, 0, 1], port: 1) else {
            preconditionFailure("an IPv4 address has 4 bytes")
        }
        return OpenMessage(
            session: SessionID(high: random.next(), low: random.next()), keyShare: random.bytes(Wire.keyShareLength),
            destination: destination, suspendLimit: limit)
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
        let deadline = healsAt + limits + .seconds(120)
        while complaint == nil, !isDone, let (time, event) = schedule.next() {
            eventsOfThisInstant = time == now ? eventsOfThisInstant + 1 : 0
            if eventsOfThisInstant > World.instantLimit { complain("time stands still: \(state)") }
            now = time
            trace.now = time
            statistics.events += 1
            handle(event)
            bury()
            watchProgress()
            if now > deadline { complain("the run does not end: \(state)") }
            if statistics.events > World.eventLimit { complain("too many events: \(state)") }
        }
        if complaint == nil, !isDone { complain("nothing happens any more: \(state)") }
        if complaint == nil { checkEndings() }
        if scenario.isCalm, paths.count == 1, lastContinued == Instant(nanoseconds: 0), opener.session.reconnects > 0 {
            complain("a link is replaced though nothing is wrong")
        }
        statistics.time = now - Instant(nanoseconds: 0)
    }

    private var isDone: Bool {
        opener.isDone && admission.pending == nil && acceptor?.isDone ?? true
    }

    var state: String {
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
        case .room(let id, let role): resumeWriting(id, by: role)
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
        case .stops(let role): stopIfSettled(role)
        case .continues(let role): continues(role)
        case .restarts(let role): restarts(role)
        case .addressed(let path): addressed(path)
        case .noticed(let news): noticed(news)
        case .pathAdded(let path): addPath(path)
        case .heal: heal()
        }
    }
}
