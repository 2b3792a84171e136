import Engine
import Interception
import Keeper
import Kernel
import Policy
import Rendezvous
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// What every connection of an agent shares. On the main loop.
final class Agent {
    let options: AgentOptions
    let loop: EventLoop
    let pool: LoopPool
    let escrow: EscrowClient
    let desk: LegDesk
    let legOwner = LegOwner()
    private(set) lazy var trust = GatewayTrust(
        options, on: loop,
        .init(tell: { [unowned self] in notices.warn($0) }, alarm: { [unowned self] in notices.alarm($0) }))
    let network: NetworkNamespace?
    /// Nil where the kernel does not tell of changes; links are then found broken by their silence.
    let watch: NetworkWatch?
    let alarm: NeighbourAlarm
    var notices: Notices
    let groupedNotices: GroupedNotices
    let admission: Admission
    private let ledger: SessionLedger
    private(set) lazy var detection = Detection(
        isPlain: options.isPlain, trust: trust,
        store: DetectionStore(in: options.state, on: loop) { [unowned self] in notices.explain($0) }, on: loop)
    var knownSockets = KnownSockets()
    /// Where further addresses of destinations come from.
    let alternates: AlternateAddresses
    let rules: RuleBook
    private let resolver: Resolver
    private(set) lazy var relays = RelayDesk(self)
    private(set) lazy var gatewayNames = GatewayNames(self)
    private(set) lazy var offers = OfferDesk(self)
    private(set) var drain: Drain?
    var workingHosts = WorkingHosts()
    var badPairs = BadPairs()

    init(_ options: AgentOptions, pool: LoopPool, escrow: EscrowClient, ledger: SessionLedger) {
        self.options = options
        self.pool = pool
        self.escrow = escrow
        self.ledger = ledger
        loop = pool.main
        resolver = Resolver(on: loop)
        alternates = AlternateAddresses(resolver, on: loop)
        rules = RuleBook(options, alternates, resolver)
        notices = Notices(options.verbosity)
        let isQuiet = options.verbosity == .quiet
        groupedNotices = GroupedNotices(on: loop) { if !isQuiet { Diagnostics.report($0) } }
        network = (try? NetworkNamespace.own()) ?? nil
        alarm = NeighbourAlarm(pool)
        do throws(Errno) {
            watch = try NetworkWatch(pool)
        } catch {
            watch = nil
            notices.explain("the kernel does not tell of changes in the network: \(error); silence will")
        }
        admission = Admission(options.configuration.limits, pool: pool)
        desk = LegDesk(
            on: loop, owner: legOwner,
            escrow: .init(
                hold: { escrow.hold(.desk, $0) }, holdLeg: { escrow.hold(.leg, $0, then: $1) },
                release: { escrow.release($0) }))
    }

    // MARK: - Sessions

    /// A session of this agent, wherever it lives.
    struct Session {
        let id: SessionID
        let place: LoopPool.Place

        /// Brings it its leg, of which a copy is in escrow.
        func bring(_ leg: Handoff<TCPSocket>, _ key: EscrowKey) {
            place.mailbox.post { [id, place] loop in
                guard let leg = leg.take() else { return }
                guard let driver = place.sessions.on(loop)[id] else {
                    // It has ended before it had a leg: not in order. A copy is in escrow, so that closing would not reset it.
                    _ = try? leg.abort()
                    return
                }
                // Without a descriptor for epoll the leg is closed, which resets it.
                do { try driver.attachLeg(leg, escrowKey: key.value) } catch { driver.abandonLeg() }
            }
        }

        /// Drops it, unless it has been opened meanwhile.
        func giveUpOpening() {
            withDriver { driver, _ in
                if !driver.session.isOpen { driver.drop(saying: .ending) }
            }
        }

        /// Does something with its driver, on its loop, if it is still there.
        func withDriver(_ body: @escaping @Sendable (SessionDriver, EventLoop) -> Void) {
            place.mailbox.post { [id, place] loop in
                if let driver = place.sessions.on(loop)[id] { body(driver, loop) }
            }
        }
    }

    /// Begins a session that ``admission`` has let in; `event` is called on the main loop.
    ///
    /// - Parameter leg: the leg's key in escrow, if it is there already.
    func open(
        to destination: SocketAddress, through route: GatewayRoute, leg: EscrowKey = EscrowKey(0),
        _ application: LedgerIdentity.Application, event: @escaping (SessionEvent) -> Void
    ) throws -> Session {
        let protection = try protection(of: route)
        let id = try Randomness.sessionID()
        let session = Session(id: id, place: pool.place())
        let (main, handler) = (loop.mailbox, LoopBound(counted(event), on: loop))
        let (suspendLimit, place, program) = (route.suspendLimit, session.place, application.program)
        let journal = Handoff(
            ledger.open(
                id, .opener, peer: route.addresses[0], destination: destination, suspendLimit: suspendLimit, leg: leg,
                .application(application)))
        let paths = route.paths
        place.mailbox.post { [alarm, network = watch?.state] loop in
            let owner = OpeningSession(
                table: place.sessions.on(loop), journal: journal.take(), alarm: alarm
            ) { event in
                main.post { handler.on($0)(event) }
            }
            do {
                let driver = try SessionDriver.open(
                    id, to: destination, over: paths, protection, network: network, suspendLimit: suspendLimit,
                    buffers: SessionBuffers(), on: loop, owner: owner)
                place.sessions.on(loop).add(SessionEntry(driver: driver, program: program, owner: owner))
            } catch {
                main.post { handler.on($0)(.ended(.dropped(.exhausted))) }
                main.post { handler.on($0)(.finished) }
            }
        }
        return session
    }

    /// Gives a session its leg: into escrow first, unless it is there already.
    ///
    /// - Returns: its key there.
    func bring(_ leg: consuming Leg, _ escrowKey: EscrowKey? = nil, to session: Session) -> EscrowKey {
        let socket = TCPSocket(owning: leg.intoDescriptor())
        let number = socket.number
        let handoff = Handoff(socket)
        guard let escrowKey else { return escrow.hold(.leg, number) { key in session.bring(handoff, key) } }
        session.bring(handoff, escrowKey)
        return escrowKey
    }

    /// What is done for the safety of links to a gateway.
    func protection(of route: GatewayRoute) throws -> LinkProtection {
        // Without need, no key is made.
        if options.isPlain || route.addresses.allSatisfy(\.isLoopback) { return .plain }
        return .tls(try trust.dialling(to: route.trustName, pin: route.pin))
    }

    /// Tells people that a connection cannot go on, or goes on again.
    func notice(_ change: SuspensionChange, of connection: String, through gateway: String) {
        switch change {
        case .suspended(let why, let limit):
            let patience = SuspensionWatch.patience.text
            groupedNotices.say(
                "no answer from \(gateway) for \(patience) (\(why)); trying on, up to \(limit.text)", of: connection)
        case .resumed(let after): groupedNotices.say("resumed after \(after.text)", of: connection)
        }
    }

    /// Lets another session in when this one has ended or is given up.
    func counted(_ event: @escaping (SessionEvent) -> Void) -> (SessionEvent) -> Void {
        var isHere = true
        return { [admission] in
            switch $0 {
            case .givenUp where isHere, .ended where isHere:
                admission.leave()
                isHere = false
            default: break
            }
            event($0)
        }
    }

    /// Tells people that a connection is given up, and why.
    func notice(_ surrender: Surrender, of connection: String) {
        if let text = surrender.explanation { notices.warn("\(connection): \(text); the connection is reset") }
    }

    // MARK: - Names

    /// An application has resolved a name.
    func resolved(_ name: ResolvedName) {
        notices.explain(
            "\(name.name) is \(name.addresses.map(\.description).joined(separator: ", "))")
        alternates.note(name)
    }

    /// Finds the addresses of a name for somebody who has not looked it up himself, in the resolver's order; none if there are none.
    func resolve(_ name: String, found: @escaping ([SocketAddress.Host]) -> Void) {
        resolver.forward(name) { [self] hosts in
            if let canonical = ResolvedName.canonical(name), !hosts.isEmpty {
                resolved(ResolvedName(name: canonical, addresses: hosts))
            }
            found(hosts)
        }
    }

    // MARK: - The configuration

    /// Its files say something new. Running sessions keep what they have.
    func configurationChanged(_ outcome: Result<Configuration, any Error>) {
        switch outcome {
        case .success(let configuration):
            use(configuration)
            let count = configuration.rules.count
            notices.explain("read the configuration again; it has \(count) \(count == 1 ? "rule" : "rules")")
        case .failure(let error):
            guard options.verbosity > .quiet else { return }
            for line in "\(error)".split(separator: "\n") { Diagnostics.report(String(line)) }
            Diagnostics.report("the configuration of before stays in force")
        }
    }

    func use(_ configuration: Configuration) {
        rules.replace(configuration)
        admission.limits = configuration.limits
    }

    // MARK: - Legs and the keeper

    /// Connections whose sessions are not over: the keeper stays for as long as there are any.
    private(set) var connectionCount = 0
    /// Sessions that ended in a reset while a program's last bytes were under way.
    private(set) var failedSessions: Set<SessionID> = []

    func countConnections(_ change: Int) {
        connectionCount += change
        // While it drains, `Drain` reports.
        if drain == nil { escrow.reportLegs(count: connectionCount, undelivered: 0, destination: "") }
    }

    func noteFailure(_ id: SessionID) { failedSessions.insert(id) }

    /// Nothing is left of a session. While it drains, `Drain` has yet to ask how it ended.
    func sessionFinished(_ id: SessionID) {
        if drain == nil { failedSessions.remove(id) }
        countConnections(-1)
    }

    /// The program has ended: what it wrote is still to be delivered.
    func programEnded() {
        guard drain == nil else { return }
        drain = Drain(self)
    }

    func drainIsOver() {
        drain = nil
        failedSessions = []
        countConnections(0)
    }
}
