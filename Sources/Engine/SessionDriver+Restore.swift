public import Keeper
import Kernel
public import SessionProtocol
import SystemPackage
public import Transport

/// Why a session of a dead process cannot go on.
public enum RestoreFailure: Error {
    /// Its ledger slot or its leg contradicts itself.
    case inconsistent
    case system(Errno)
}

extension SessionDriver {
    /// Goes on with a session of a dead process, which has left a slot in its ledger and a leg in escrow.
    ///
    /// - Parameters:
    ///   - snapshot: what the slot says; of an opener, `opened` must be among its flags.
    ///   - leg: nil if there was none yet, or there is none any more. When this throws, it was reset.
    ///   - paths: of an opener, the ways to its acceptor, and its mode.
    ///   - network: which sources of links are usable now; all of them, if that is not known.
    ///   - instance: the acceptor's.
    public static func restore(
        _ snapshot: LedgerSnapshot, key: consuming ResumeKey?, leg: consuming TCPSocket?, over paths: LinkPaths?,
        _ protection: LinkProtection, network: NetworkState? = nil, instance: UInt64, buffers: SessionBuffers,
        on loop: EventLoop,
        owner: any SessionOwner
    ) throws(RestoreFailure) -> SessionDriver {
        var leg = leg
        do throws(RestoreFailure) {
            let remains = try Remains(snapshot, leg: &leg)
            let outbound = try ring(snapshot, taken: remains.taken, buffers, loop)
            guard let id = SessionID(ledgerBytes: snapshot.identity.session) else { throw .inconsistent }
            let role: Role = snapshot.identity.role == .agent ? .opener : .acceptor
            let promise = WindowPromise(buffers, from: loop.arena.budget)
            var configuration = buffers.configuration(
                suspendLimit: .seconds(UInt64(snapshot.identity.suspendLimit)), seed: id.low, promise)
            if let paths {
                configuration.mode = paths.mode
                configuration.paths = paths.usable(in: network)
                configuration.destinations = paths.gateways.count
            }
            let session = Session.restored(
                SessionSnapshot(
                    id: id, role: role, instance: instance,
                    epoch: role == .opener ? snapshot.epochSent : snapshot.epochAccepted, taken: remains.taken,
                    ringBase: outbound.base, finTaken: remains.finTaken, delivered: remains.delivered,
                    finDelivered: remains.finDelivered, aborted: remains.isAborted ? 0 : nil),
                configuration, loop.now)
            // Positions in it are those of the session.
            let held = Ring(arena: loop.arena, base: remains.delivered, maximum: buffers.window, isPaidFor: true)
            let driver = SessionDriver(
                session: session, destination: snapshot.identity.destination, paths: paths, agreement: nil,
                key: key, promise, buffers, loop, owner)
            driver.tls = protection.tls
            driver.note(.restored)
            driver.growth = ReplayGrowth(end: outbound.end, loop.now)
            driver.outbound = outbound
            driver.held = held
            try driver.take(leg.take(), remains, escrowKey: snapshot.identity.leg.value)
            if snapshot.flags.contains(.legClosed) { owner.legClosed(driver) }
            // It begins suspended, which is news.
            owner.stateChanged(driver)
            driver.settle()
            return driver
        } catch {
            // Closing would not do while the keeper holds a copy.
            if let leg { _ = try? leg.abort() }
            throw error
        }
    }

    private func take(_ socket: consuming TCPSocket?, _ remains: Remains, escrowKey: UInt64) throws(RestoreFailure) {
        guard let socket else {
            expectsLeg = remains.expectsLeg
            return
        }
        expectsLeg = false
        do throws(Errno) {
            if let base = remains.firstBase {
                owner?.recoveryFactsChanged(self, .legEstablished(escrowKey: escrowKey, base))
            }
            let registration = try loop.register(socket.number, self, tag: SessionDriver.legTag)
            leg = LegConnection(socket: socket, registration: registration)
        } catch {
            selfWhileActive = nil
            _ = try? socket.abort()
            throw .system(error)
        }
        // The error itself may have been told to the dead process; what the application wrote before can be read.
        if remains.fate == .reset { leg?.failure = .connectionReset }
        if remains.isAborted { abortLeg() }
    }

    /// The replay buffer where the dead process left it.
    private static func ring(
        _ snapshot: LedgerSnapshot, taken: Position, _ buffers: SessionBuffers, _ loop: EventLoop
    ) throws(RestoreFailure) -> Ring {
        guard let place = snapshot.ring else {
            return Ring(arena: loop.arena, base: taken, maximum: buffers.replay)
        }
        guard let slot = loop.arena.adopt(offset: place.offset, size: place.size) else { throw .inconsistent }
        let base = taken - min(taken, UInt64(place.size))
        return Ring(arena: loop.arena, adopting: slot, base: base, end: taken, maximum: buffers.replay)
    }
}

/// How far a session had come, as its ledger slot and the kernel say together.
private struct Remains {
    var taken: Position
    var finTaken: Bool
    var delivered: Position
    var finDelivered: Bool
    var isAborted = false
    var fate = LegPositions.Fate.whole
    /// The leg is new: nobody has read from it or written to it.
    var firstBase: LegBase?
    /// The application is about to bring its leg.
    var expectsLeg = false

    init(_ snapshot: LedgerSnapshot, leg: inout TCPSocket?) throws(RestoreFailure) {
        let flags = snapshot.flags
        taken = snapshot.tail
        finTaken = flags.contains(.finRead)
        delivered = snapshot.delivered
        finDelivered = flags.contains(.finWritten)
        if flags.contains(.legClosed) {
            // Everything was delivered: only the peer has yet to hear of it.
            if let socket = leg.take() { _ = try? socket.setResetOnClose(false) }
            return
        }
        guard let socket = leg.take() else {
            // A gateway's session begins with its leg, and an agent's leg that is established is in escrow.
            isAborted = flags.contains(.legEstablished) || snapshot.identity.role == .gateway
            expectsLeg = !isAborted
            return
        }
        let reading: LegReading
        do throws(Errno) { reading = try LegReading.take(of: socket) } catch { throw .system(error) }
        leg = .some(consume socket)
        guard flags.contains(.legEstablished) else {
            firstBase = reading.base
            return
        }
        let positions = reading.positions(
            LegRecord(
                base: LegBase(received: snapshot.baseReceived, acknowledged: snapshot.baseAcknowledged),
                tail: snapshot.tail, finRead: finTaken, finWritten: finDelivered,
                resetSeen: flags.contains(.resetSeen)))
        (taken, fate) = (positions.taken, positions.fate)
        isAborted = fate == .lost || flags.contains(.aborting)
        if !isAborted || positions.delivered > delivered {
            (delivered, finDelivered) = (positions.delivered, positions.finDelivered)
        }
        if isAborted { finDelivered = false }
    }
}

extension SessionID {
    /// 16 bytes, most significant first.
    public init?(ledgerBytes bytes: [UInt8]) {
        guard bytes.count == 16 else { return nil }
        func word(_ range: Range<Int>) -> UInt64 { bytes[range].reduce(0) { $0 << 8 | UInt64($1) } }
        self.init(high: word(0..<8), low: word(8..<16))
    }
}
