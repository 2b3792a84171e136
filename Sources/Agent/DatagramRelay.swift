import CLinux
import Engine
import Keeper
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Transport

/// Stands in for one destination of one application's datagrams: each is a request, sent on another path when it is not answered
/// in time. On the main loop.
///
/// Which answer belongs to which request cannot be known, as this reads no protocol. What can be known is which socket it comes to.
/// As long as nothing is silent there is one, so that everything is as between the application and its server; and one on which
/// a request went that another path then answered is replaced, so that no second answer reaches the application.
final class DatagramRelay {
    /// Requests waited for at a time. The oldest goes first, as the application asks the more.
    static let maximumRequests = 64
    /// Requests of an application that are taken before others get their turn.
    private static let turnLimit = 64

    /// Whose datagrams these are.
    struct Application {
        /// Whose socket it is.
        let user: uid_t
        /// What it asked for, never IPv4-mapped.
        let destination: SocketAddress
        /// What it has bound its socket to; then no other source is tried.
        let source: SocketAddress.Host?
    }

    /// What a relay needs of others.
    struct Surroundings {
        let paths: AnsweringPaths
        let timing: AttemptTiming
        /// Looks for further paths to try, in their order: calls `found` with all that are known, each time there are more, and
        /// then `done`.
        let find: (_ found: @escaping ([CandidatePair]) -> Void, _ done: @escaping () -> Void) -> Void
        /// Whether a datagram to this relay from there is the application's.
        let isApplication: (_ sender: SocketAddress, _ relay: DatagramRelay) -> Bool
        let explain: (String) -> Void
    }

    let application: Application
    /// Where the application sends its datagrams to, never IPv4-mapped.
    let address: SocketAddress
    private(set) var lastUse: Instant
    /// What is in escrow of it.
    var keys: [EscrowKey] = []
    /// Where the application's datagrams come from, as far as that is known.
    var sender: SocketAddress?
    let socket: DatagramSocket
    let loop: EventLoop
    let surroundings: Surroundings
    private let first: CandidatePair
    var registration: Registration?
    var requests: [DatagramRequest] = []
    private var lines: [CandidatePair: DatagramLine] = [:]
    var overtaken: [DatagramLine] = []
    var search = Search.notBegun
    var pairs: [CandidatePair] = []
    /// A copy of the application's socket, to be refused by the kernel.
    var copy: DatagramSocket?
    /// Until then, the kernel tells whoever sends that nobody is here.
    var refusalEnd: Instant?
    var timer: TimerToken?
    var isQueued = false

    init(
        _ socket: consuming DatagramSocket, for application: Application, from sender: SocketAddress?,
        _ surroundings: Surroundings, on loop: EventLoop
    ) throws(Errno) {
        self.application = application
        self.sender = sender
        self.surroundings = surroundings
        self.loop = loop
        first = CandidatePair(
            source: application.source.map { IPAddress($0) }, destination: IPAddress(application.destination.host))
        lastUse = loop.now
        address = try socket.localAddress()
        isBoundToSender = (try? socket.remoteAddress()) != nil
        let number = socket.number
        self.socket = socket
        registration = try loop.register(number, self)
    }

    /// The socket's number, for escrow.
    var number: Int32 { socket.number }

    /// Whether it hears from one address of the application alone.
    var isBoundToSender: Bool

    /// Lets go of everything.
    func end() {
        if let registration { loop.deregister(registration) }
        registration = nil
        for line in lines.values { line.close() }
        for line in overtaken { line.close() }
        (lines, overtaken, requests) = ([:], [], [])
        copy = nil
        if let timer { loop.cancel(timer) }
        timer = nil
    }

    /// Closes what has not been used for long, and forgets what may have changed.
    func tidy() {
        guard requests.isEmpty else { return }
        for (pair, line) in lines where pair != first { close(line) }
        releaseCopy()
        switch search {
        case .late, .done: search = .notBegun
        case .notBegun, .running: break
        }
    }

    // MARK: - Requests

    /// Takes the application's datagrams.
    private func takeRequests() {
        for _ in 0..<Self.turnLimit {
            // It may have ended between two turns.
            guard registration != nil else { return }
            do throws(Errno) {
                guard let received = try socket.receive(into: loop.scratch) else { return }
                guard isApplication(received.sender) else { continue }
                begin(Array(loop.scratch[..<received.count]))
            } catch {
                // The application has closed its socket while an answer was on its way. Datagrams may stand behind this.
            }
        }
        loop.runLater(self)
    }

    private func isApplication(_ source: SocketAddress) -> Bool {
        if source == sender { return true }
        guard surroundings.isApplication(source, self) else { return false }
        sender = source
        return true
    }

    private func begin(_ content: [UInt8]) {
        lastUse = loop.now
        if requests.count >= Self.maximumRequests { drop(requests.removeFirst()) }
        let instead = surroundings.paths.path(insteadOf: application.destination, at: loop.now)
        var timing = surroundings.timing
        // An address that takes long is not silent before twice that.
        let answerTime = surroundings.paths.answerTime(of: application.destination, at: loop.now)
        timing.delay = max(timing.delay, min(2 * answerTime.nanoseconds, Self.longestDelay.nanoseconds))
        // With one that has answered instead of a silent one, both begin now.
        let request = DatagramRequest(
            content, at: loop.now, silentAt: loop.now + Interval(nanoseconds: timing.delay),
            AttemptPlanner(
                asked: first, history: instead == nil ? .notStarted : .silent(since: loop.now.nanoseconds),
                timing: timing))
        requests.append(request)
        perform(request, request.planner.offer((instead.map { [$0] } ?? []) + pairs, now: loop.now.nanoseconds))
        if !search.isWaitedFor { perform(request, request.planner.noMoreWillCome(now: loop.now.nanoseconds)) }
        perform(request, request.planner.start(now: loop.now.nanoseconds))
        setTimer()
    }

    /// However slow the asked one is: the longest delay that policy can ask for.
    private static let longestDelay = Interval.seconds(2)

    func perform(_ request: DatagramRequest, _ effects: [AttemptEffect]) {
        for effect in effects {
            switch effect {
            case .start(let number, let pair): send(request, number, pair)
            case .abort(let number): request.lines.removeValue(forKey: number).map(overtake)
            case .won: break
            case .failed(let errno):
                requests.removeAll { $0 === request }
                refuse(Errno(rawValue: errno))
            }
        }
    }

    private func send(_ request: DatagramRequest, _ number: Int, _ pair: CandidatePair) {
        do throws(Errno) {
            if let line = lines[pair] {
                do throws(Errno) {
                    try line.send(request.content)
                    request.lines[number] = line
                    return
                } catch {
                    // It says what has become of earlier ones.
                    failed(line, error)
                }
            }
            let line = try line(pair)
            try line.send(request.content)
            request.lines[number] = line
        } catch {
            failed(request, number, error)
        }
    }

    private func line(_ pair: CandidatePair) throws(Errno) -> DatagramLine {
        if let line = lines[pair] { return line }
        let line = try DatagramLine(pair, port: application.destination.port, on: loop) { [unowned self] line, event in
            switch event {
            case .received(let count): answered(on: line, count)
            case .failed(let error): failed(line, error)
            }
            setTimer()
        }
        lines[pair] = line
        return line
    }

    /// The application waits no more, or others have taken its place.
    func drop(_ request: DatagramRequest) {
        for (number, line) in request.lines where number != 0 { overtake(line) }
        request.lines = [:]
    }

    // MARK: - Answers

    private func answered(on line: DatagramLine, _ count: Int) {
        lastUse = loop.now
        guard !line.isOvertaken else {
            // Slower than another, but not silent.
            if line.pair == first, loop.now - line.lastSent <= Interval(nanoseconds: surroundings.timing.delay) {
                surroundings.paths.answered(
                    application.destination, after: loop.now - line.lastSent, at: loop.now)
            }
            return
        }
        if let sender {
            // One that does not read, or has gone, misses it as it would any.
            try? socket.send(
                UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(loop.scratch)[..<count]), to: sender)
        }
        releaseCopy()
        let answered = requests.filter { !$0.numbers(on: line).isEmpty }
        guard let oldest = answered.first else { return }
        requests.removeAll { request in answered.contains { $0 === request } }
        note(line, since: oldest.began)
        for request in answered {
            for number in request.numbers(on: line) {
                perform(request, request.planner.connected(number, now: loop.now.nanoseconds))
            }
        }
    }

    private func note(_ line: DatagramLine, since began: Instant) {
        let (paths, asked) = (surroundings.paths, application.destination)
        if line.pair == first { return paths.answered(asked, after: loop.now - began, at: loop.now) }
        if paths.path(insteadOf: asked, at: loop.now) != line.pair {
            let from = line.pair.source.map { " from \(SocketAddress.Host($0))" } ?? ""
            let place = SocketAddress(host: SocketAddress.Host(line.pair.destination), port: asked.port)
            surroundings.explain("\(asked) does not answer; \(place)\(from) does")
        }
        paths.answered(asked, by: line.pair, at: loop.now)
    }

    /// Another path has answered a request that went here. Others that wait here go on, on a socket of their own.
    private func overtake(_ line: DatagramLine) {
        guard !line.isOvertaken else { return }
        line.isOvertaken = true
        if lines[line.pair] === line { lines[line.pair] = nil }
        overtaken.append(line)
        for request in requests {
            for number in request.numbers(on: line) {
                request.lines[number] = nil
                send(request, number, line.pair)
            }
        }
    }

    // MARK: - Failures

    private func failed(_ line: DatagramLine, _ error: Errno) {
        close(line)
        for request in requests {
            for number in request.numbers(on: line) { failed(request, number, error) }
        }
    }

    private func failed(_ request: DatagramRequest, _ number: Int, _ error: Errno) {
        request.lines[number] = nil
        if case .notBegun = search { beginSearch() }
        perform(request, request.planner.failed(number, errno: error.rawValue, now: loop.now.nanoseconds))
    }

    func close(_ line: DatagramLine) {
        line.close()
        if lines[line.pair] === line { lines[line.pair] = nil }
        overtaken.removeAll { $0 === line }
    }
}

extension DatagramRelay: EventHandler, LoopTask {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { takeRequests() }

    func run(on loop: EventLoop) { takeRequests() }
}
