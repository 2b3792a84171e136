import CLinux
import Engine
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Transport

/// Tries pairs of source and destination with sockets of this process, until one is connected. On the main loop. It lives as
/// long as it lasts.
final class PathRace {
    /// A pair that works.
    struct Path: CustomStringConvertible {
        /// nil: the kernel's choice.
        let source: SocketAddress.Host?
        let destination: SocketAddress

        var description: String { "to \(destination)" + (source.map { " from \($0)" } ?? "") }
    }

    enum Outcome: ~Copyable {
        case connected(Path, TCPSocket)
        /// Nothing works, and nothing more can come; with the error of the attempt that was asked for, if it was made here.
        case failed(Errno)
    }

    /// One attempt.
    private struct Attempt {
        let pair: CandidatePair
        let path: Path
        let dial: Dial
    }

    /// How long further addresses are waited for when all that are known have failed: a name server that is silent must not keep
    /// an application from hearing that its port is refused. Most answer sooner.
    private static let namePatience = Interval.milliseconds(300)

    private let agent: Agent
    private let destination: SocketAddress
    private let search: PathSearch
    private let ended: (consuming Outcome) -> Void
    private let candidates: Candidates
    private let mayWait: Bool
    private var planner: AttemptPlanner
    /// Addresses that have been found.
    private var found: [IPAddress] = []
    private var attempts: [Int: Attempt] = [:]
    /// The application's attempt, if it is made here.
    private var first: Attempt?
    private var timer: TimerToken?
    private var nameTimer: TimerToken?
    /// Whether further addresses may come.
    private var isFinding = true
    private var isOver = false
    /// All others have failed.
    private var isHopeless = false
    private var lastError = Errno(rawValue: 0)
    /// Whether there is anything but what was asked for to wait for, and not a name server alone. What waits for its turn begins at
    /// once when all before it have failed.
    var hasOthers: Bool { !attempts.isEmpty }

    /// - Parameters:
    ///   - destination: what was asked for, never IPv4-mapped.
    ///   - history: `.notStarted` if that attempt is made here. If the application makes it by itself, until
    ///     ``takeOverFirst()``, it counts as failed: of the errors, the application hears only that of its own attempt, which
    ///     it knows.
    ///   - source: what the application has bound; then other sources are not tried.
    ///   - families: what the application's socket can be connected to.
    ///   - mayWait: whether the application's own attempt goes on elsewhere, so that nobody waits for a name server alone.
    ///   - ended: called once, unless the race is cancelled before.
    init(
        to destination: SocketAddress, _ search: PathSearch, from source: SocketAddress.Host?,
        families: Set<IPAddress.Family> = Set(IPAddress.Family.allCases), history: FirstAttempt,
        mayWait: Bool = false, _ agent: Agent, ended: @escaping (consuming Outcome) -> Void
    ) {
        self.agent = agent
        self.destination = destination
        self.search = search
        self.ended = ended
        self.mayWait = mayWait
        candidates = Candidates(
            asked: IPAddress(destination.host), bound: source.map { IPAddress($0) },
            mode: search.sourcesOnly ? .sourcesOnly : .destinationsAndSources, families: families)
        planner = AttemptPlanner(asked: candidates.first, history: history, timing: AttemptTiming(search.limits))
    }

    func begin() {
        // What is known at once comes before other sources.
        if search.sourcesOnly { allAreFound() } else { findAddresses() }
        offer()
        perform(planner.start(now: now))
    }

    private func findAddresses() {
        agent.alternates.find(
            for: destination, extra: search.addresses, reverse: search.reverseLookup,
            allowsPrivate: search.allowsPrivate
        ) { [self] hosts in
            guard !isOver else { return }
            found += hosts.map { IPAddress($0) }
            offer()
        } done: { [self] in
            guard !isOver else { return }
            allAreFound()
        }
    }

    private func allAreFound() {
        isFinding = false
        perform(planner.noMoreWillCome(now: now))
    }

    private var now: UInt64 { agent.loop.now.nanoseconds }

    private func offer() {
        let pairs = candidates.pairs(
            with: found,
            by: .init(from: agent.localAddresses, to: [candidates.first.destination] + found, port: destination.port))
        perform(planner.offer(agent.badPairs.ordered(pairs, port: destination.port, now: now), now: now))
    }

    /// The application cannot go on with its own attempt: it is made here, at once.
    func takeOverFirst() {
        first = try? attempt(candidates.first) { [self] in firstEnded($0, $1) }
    }

    func cancel() {
        isOver = true
        cancelTimers()
        for attempt in attempts.values { attempt.dial.release() }
        attempts = [:]
        first?.dial.release()
        first = nil
    }

    // MARK: - What the planner wants

    private func perform(_ effects: [AttemptEffect]) {
        defer { setTimers() }
        for effect in effects where !isOver {
            switch effect {
            case .start(let number, let pair): dial(number, pair)
            case .abort(let number): attempts.removeValue(forKey: number)?.dial.release()
            case .won(let number, _):
                // They had more time than this one.
                for (older, attempt) in attempts where older < number { note(attempt.pair) }
                finish(attempts.removeValue(forKey: number))
            case .failed(let code):
                lastError = Errno(rawValue: code)
                isHopeless = true
                if first == nil { finish(nil) }
            }
        }
    }

    private func dial(_ number: Int, _ pair: CandidatePair) {
        do throws(Errno) {
            attempts[number] = try attempt(pair) { [self] in attemptEnded(number, $0, $1) }
        } catch {
            fail(number, pair, error)
        }
    }

    private func attempt(
        _ pair: CandidatePair, ended: @escaping (Dial, Errno?) -> Void
    ) throws(Errno) -> Attempt {
        let path = path(pair)
        let dial = try Dial(path.destination, from: path.source, search.transport, on: agent.loop, ended: ended)
        return Attempt(pair: pair, path: path, dial: dial)
    }

    private func path(_ pair: CandidatePair) -> Path {
        Path(
            source: pair.source.map { SocketAddress.Host($0) }, destination: socketAddress(of: pair.destination))
    }

    private func socketAddress(of address: IPAddress) -> SocketAddress {
        SocketAddress(host: SocketAddress.Host(address), port: destination.port)
    }

    private func attemptEnded(_ number: Int, _ dial: Dial, _ error: Errno?) {
        guard !isOver, let attempt = attempts[number], attempt.dial === dial else { return }
        guard let error else { return perform(planner.connected(number, now: now)) }
        attempts[number] = nil
        dial.release()
        fail(number, attempt.pair, error)
    }

    private func fail(_ number: Int, _ pair: CandidatePair, _ error: Errno) {
        note(pair)
        perform(planner.failed(number, errno: error.rawValue, now: now))
    }

    private func note(_ pair: CandidatePair) { agent.badPairs.note(pair, port: destination.port, now: now) }

    private func firstEnded(_ dial: Dial, _ error: Errno?) {
        guard !isOver, let attempt = first, attempt.dial === dial else { return }
        first = nil
        if error == nil { return finish(attempt) }
        dial.release()
        if isHopeless { finish(nil) }
    }

    private func finish(_ winner: Attempt?) {
        cancel()
        guard let winner, let socket = winner.dial.release() else { return ended(.failed(lastError)) }
        agent.badPairs.forget(winner.pair, port: destination.port)
        ended(.connected(winner.path, socket))
    }

    private func setTimers() {
        cancelTimers()
        guard !isOver else { return }
        if let deadline = planner.nextDeadline {
            timer = agent.loop.schedule(self, at: Instant(nanoseconds: deadline))
        }
        // Nothing is under way: whoever waits, waits for a name server.
        if isFinding, !mayWait, attempts.isEmpty, first == nil {
            nameTimer = agent.loop.schedule(self, at: agent.loop.now + PathRace.namePatience)
        }
    }

    private func cancelTimers() {
        for timer in [timer, nameTimer].compactMap(\.self) { agent.loop.cancel(timer) }
        (timer, nameTimer) = (nil, nil)
    }
}

extension PathRace: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        if token == nameTimer {
            nameTimer = nil
            return allAreFound()
        }
        timer = nil
        perform(planner.timePassed(now: now))
    }
}
