import CLinux
import Engine
import Interception
import Kernel
import Rendezvous
import SessionHost
import SessionProtocol
import SystemPackage
import Transport

/// One connect() of an application to a peer without a gateway, from its own attempt to a path that works. On the main loop.
///
/// The application makes its attempt by itself, and on a healthy path that is all. Where the attempt fails or is silent, other
/// paths are tried with sockets of this process, and the application's own socket is then connected on the one that works. Only
/// where the application does not wait for that, it is put on a held address, and its bytes go through this process.
final class ShimRequest {
    /// How long an application whose socket does not block waits inside connect() for another path, behind its own attempt.
    /// As with sessions: after that it gets a held address.
    private static let patience = Interval.milliseconds(200)

    private enum Stage {
        case ownAttempt
        /// The application waits inside connect().
        case racing(PathRace)
        /// It waits at a held address, or is about to.
        case held(HeldApplication, ExpectedLeg, PathRace)
        case awaitingLeg(HeldApplication, ExpectedLeg)
        case relaying(ExpectedLeg)
        case over
    }

    private let agent: Agent
    private let destination: SocketAddress
    private let name: String
    private let search: PathSearch
    private let blocks: Bool
    private let limits: PathLimits
    private var stage = Stage.ownAttempt
    /// The library, as long as it waits.
    private var library: ControlConnection?
    private var registration: Registration?
    /// The agent's copy, while the application waits inside connect().
    private var application: ApplicationSocket?
    /// How the application's own attempt has failed; 0 while it is silent.
    private var failure: Int32 = 0
    /// What carries the connection at a held address, once it is there.
    private var winner: TCPSocket?
    private var timer: TimerToken?

    /// What the application has decided about its socket.
    private struct PathLimits {
        let families: Set<IPAddress.Family>
        let source: SocketAddress.Host?
        let hasOwnPort: Bool
    }

    /// Answers the library, and waits for what comes of that.
    static func begin(
        _ library: consuming ControlConnection, _ application: consuming ApplicationSocket, blocks: Bool,
        _ name: String,
        _ search: PathSearch, _ agent: Agent
    ) throws(Errno) {
        let destination = application.destination
        // Its port cannot be another socket's as well, and so no other path can be tried while the application does not wait.
        let cannotMove = !blocks && application.hasOwnPort
        // While it does not wait, an attempt at a host that works must not cost it a round trip.
        let needsNoHelp = !blocks && agent.workingHosts.contains(destination.unmapped.host, at: agent.loop.now)
        let isLeftAlone = destination.isLoopback || agent.isHere(destination) || cannotMove || needsNoHelp
        var families: Set<IPAddress.Family> = []
        if application.reaches(.v4(0)) { families.insert(.v4) }
        if application.reaches(.v6(high: 0, low: 0, scope: 0)) { families.insert(.v6) }
        let limits = PathLimits(
            families: families, source: application.boundHost, hasOwnPort: application.hasOwnPort)
        // Closed before the answer: while a copy exists, the application's close would send no FIN.
        _ = consume application
        if isLeftAlone { return try library.send(.direct) }
        try library.send(
            .attempt(
                silence: Int32(search.limits.delay / .milliseconds(1)),
                budget: UInt64(search.limits.budget / .milliseconds(1))))
        let number = library.descriptor.number
        let request = ShimRequest(library, destination, blocks: blocks, name, search, limits, agent)
        request.registration = try agent.loop.register(number, request)
    }

    private init(
        _ library: consuming ControlConnection, _ destination: SocketAddress, blocks: Bool, _ name: String,
        _ search: PathSearch, _ limits: PathLimits, _ agent: Agent
    ) {
        self.agent = agent
        self.destination = destination
        self.name = name
        self.search = search
        self.blocks = blocks
        self.limits = limits
        self.library = consume library
    }

    // MARK: - The application's own attempt

    private func hear() {
        do throws(Errno) {
            switch try library?.receive() {
            case .nothing: return
            case .request(.attemptFailed(let code), let socket):
                guard case .ownAttempt = stage, let socket else { return leave(.direct) }
                application = try ApplicationSocket(
                    copy: socket, destination: destination, hasOwnHost: limits.source != nil,
                    hasOwnPort: limits.hasOwnPort)
                find(because: code)
            // It is connected, or needs no connection any more.
            case .end:
                if case .ownAttempt = stage { agent.workingHosts.note(destination.unmapped.host, at: agent.loop.now) }
                abandon()
            // Patterns of a value that cannot be copied stand alone.
            case .request: abandon()
            case .malformed: abandon()
            case nil: abandon()
            }
        } catch {
            leave(.direct)
        }
    }

    private func find(because code: Int32) {
        failure = code
        if code == ECONNREFUSED { agent.detection.serverRefused(destination) }
        agent.workingHosts.forget(destination.unmapped.host)
        let race = PathRace(
            to: destination.unmapped, search, from: limits.source, families: limits.families, history: .failed(0),
            mayWait: code == 0, agent
        ) { [self] in ended($0) }
        stage = .racing(race)
        if !blocks { timer = agent.loop.schedule(self, at: agent.loop.now + ShimRequest.patience) }
        race.begin()
    }

    private func ended(_ outcome: consuming PathRace.Outcome) {
        switch consume outcome {
        case .connected(let path, let socket):
            switch stage {
            case .racing: handOver(path, socket)
            case .held(let held, let expected, _):
                // A host that is only slow must not have every connection go through the agent.
                if path.destination == destination.unmapped, path.source == limits.source {
                    agent.workingHosts.note(path.destination.host, at: agent.loop.now)
                }
                release(held, expected, path, socket)
            case .ownAttempt, .awaitingLeg, .relaying, .over: break
            }
        case .failed:
            switch stage {
            case .racing:
                agent.notices.explain("\(subject): \(ownFailure), and no other path works")
                leave(.direct)
            case .held: endHolding()
            case .ownAttempt, .awaitingLeg, .relaying, .over: break
            }
        }
    }

    private var subject: String { "\(name) to \(destination)" }
    private var ownFailure: String { failure == 0 ? "no answer" : "\(Errno(rawValue: failure))" }

    // MARK: - Another path, inside connect()

    /// The application connects its own socket where this process has just been connected.
    private func handOver(_ path: PathRace.Path, _ socket: consuming TCPSocket) {
        guard let application = application.take() else { return leave(.direct) }
        do throws(Errno) {
            // It may have had its answer meanwhile.
            guard failure != 0 ? true : try application.isConnecting else { return leave(.direct) }
            let free = try application.disconnected(
                hasOwnHost: limits.source != nil, hasOwnPort: limits.hasOwnPort)
            if limits.source == nil, let source = path.source { try free.begin(at: source) }
            let place = free.spelling(of: path.destination)
            _ = consume free
            agent.notices.explain("\(subject): \(ownFailure); connected \(path)")
            leave(.connectTo(AddressBytes(place)))
        } catch {
            leave(.refused(failure == 0 ? error.rawValue : failure))
        }
    }

    /// The last word to the library.
    private func leave(_ answer: ControlResponse) {
        application = nil
        deregister()
        _ = try? library.take()?.send(answer)
        endUnlessHeld()
    }

    private func abandon() {
        if case .racing(let race) = stage { race.cancel() }
        application = nil
        deregister()
        library = nil
        endUnlessHeld()
    }

    private func deregister() {
        if let registration { agent.loop.deregister(registration) }
        registration = nil
    }

    /// Where the application is held, this goes on; a path may have been found before it was told so.
    private func endUnlessHeld() {
        switch stage {
        case .ownAttempt, .racing, .over: end()
        case .held, .awaitingLeg, .relaying: break
        }
    }

    private func end() {
        if let timer { agent.loop.cancel(timer) }
        timer = nil
        stage = .over
    }

    // MARK: - Another path, behind connect()

    private func hold(_ race: PathRace) {
        guard race.hasOthers else {
            race.cancel()
            return leave(.direct)
        }
        guard let application = application.take() else { return leave(.direct) }
        do throws(Errno) {
            guard failure != 0 ? true : try application.isConnecting else {
                _ = consume application
                race.cancel()
                return leave(.direct)
            }
            let expected = try application.disconnected(
                hasOwnHost: limits.source != nil, hasOwnPort: limits.hasOwnPort
            ).prepareLeg()
            let held = try HeldApplication(family: expected.family, agent)
            stage = .held(held, expected, race)
            agent.countConnections(+1)
            agent.knownSockets.remember(
                expected.cookie, SocketNames(peer: AddressBytes(destination), local: AddressBytes(expected.localName)),
                by: self)
            if failure == 0 { race.takeOverFirst() }
            held.secure { [self] _ in leave(.held(AddressBytes(expected.spelling(of: held.address)))) }
        } catch {
            race.cancel()
            leave(.refused(failure == 0 ? error.rawValue : failure))
        }
    }

    private func release(
        _ held: HeldApplication, _ expected: ExpectedLeg, _ path: PathRace.Path, _ socket: consuming TCPSocket
    ) {
        agent.notices.explain("\(subject): \(ownFailure); connected \(path), through the agent")
        winner = consume socket
        stage = .awaitingLeg(held, expected)
        timer = agent.loop.schedule(self, at: agent.loop.now + expected.legLimit)
        held.release(expected) { [self] leg, key in
            if let key { agent.escrow.release(key) }
            relay(leg)
        } failed: { [self] _ in
            endHolding()
        }
    }

    private func relay(_ leg: consuming Leg) {
        guard case .awaitingLeg(_, let expected) = stage, let winner = winner.take() else { return }
        if let timer { agent.loop.cancel(timer) }
        timer = nil
        stage = .relaying(expected)
        PlainRelay.join(TCPSocket(owning: leg.intoDescriptor()), with: winner, on: agent.loop) { [self] in
            forget(expected)
            end()
        }
    }

    /// The application gets `ECONNREFUSED`, or has not come.
    private func endHolding() {
        switch stage {
        case .held(let held, let expected, let race):
            race.cancel()
            agent.notices.explain("\(subject): \(ownFailure), and no other path works")
            held.end()
            forget(expected)
        case .awaitingLeg(let held, let expected):
            held.end()
            forget(expected)
        case .ownAttempt, .racing, .relaying, .over: return
        }
        winner = nil
        end()
    }

    private func forget(_ expected: ExpectedLeg) {
        agent.knownSockets.forget(expected.cookie, by: self)
        agent.countConnections(-1)
    }
}

extension ShimRequest: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) { hear() }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        switch stage {
        case .racing(let race): hold(race)
        case .awaitingLeg: endHolding()
        case .ownAttempt, .held, .relaying, .over: break
        }
    }
}
