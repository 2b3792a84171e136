import CLinux
import Kernel
import SessionProtocol
public import SystemPackage
public import Transport

extension SessionDriver {
    /// Bytes taken from the application between two writes to the link: they are still in the cache then.
    private static let readChunk = 512 * 1024
    /// How long written bytes may take to leave for an application that is to be reset behind them.
    private static let resetGrace = Interval.seconds(5)
    /// How often the leg's queue is looked at meanwhile: the kernel tells nobody that it has emptied.
    static let resetPoll = Interval.milliseconds(5)
    /// How often an application that has to wait for the arena is thought of.
    static let roomPoll = Interval.milliseconds(100)

    /// Takes over the leg, a connected non-blocking socket born with `SO_LINGER {1, 0}`, of which a copy is in escrow.
    ///
    /// When it throws, the leg was reset and its owner told; the session is as it was, but expects no leg any more.
    public func attachLeg(_ socket: consuming TCPSocket, escrowKey: UInt64) throws(Errno) {
        guard expectsLeg else {
            // The session ended before its application came.
            return reject(socket)
        }
        expectsLeg = false
        do throws(Errno) {
            try socket.keepUrgentBytesInline()
            let base = try LegReading.take(of: socket).base
            let registration = try loop.register(socket.number, self, tag: SessionDriver.legTag)
            leg = LegConnection(socket: socket, registration: registration)
            owner?.recoveryFactsChanged(self, .legEstablished(escrowKey: escrowKey, base))
        } catch {
            reject(socket)
            throw error
        }
    }

    /// Closing would not do while the keeper holds a copy.
    private func reject(_ socket: consuming TCPSocket) {
        _ = try? socket.abort()
        owner?.legClosed(self)
    }

    // MARK: - From the application

    /// Takes what the application has written, as far as the replay buffer has room, and passes it on at once.
    func readLeg() {
        var total = 0
        while leg?.isReadable == true, wantsLegBytes, makeRoom() {
            guard total < SessionDriver.turnLimit else { return loop.runLater(self) }
            var wanted = 0
            let result = outbound.withFree(atMost: SessionDriver.readChunk) { (first, second) -> TransferResult in
                wanted = first.iov_len + (second?.iov_len ?? 0)
                return leg?.socket.receive(into: first, second) ?? .wouldBlock
            }
            switch result {
            case .bytes(let count):
                total += count
                outbound.commit(count)
                session.applicationWrote(count)
                owner?.recoveryFactsChanged(self, .taken(outbound.end))
                if count < wanted, leg?.hidesMore == false { leg?.isReadable = false }
                for link in links where session.isCurrent(link.number) { flush(link) }
                outbound.release(below: session.acknowledged)
            case .endOfStream:
                leg?.isReadable = false
                if leg?.failure != nil { return applicationReset() }
                owner?.recoveryFactsChanged(self, .finTaken)
                session.applicationFinished()
            case .failed(let code):
                leg?.failure = code
                applicationReset()
            case .wouldBlock, nil: leg?.isReadable = false
            }
        }
        if !session.takesApplicationBytes, leg?.failure != nil { applicationReset() }
    }

    /// Before the session is open, nothing is taken that a successor of this process could not give to another session; but
    /// an application that has reset its side need not wait for that.
    private var wantsLegBytes: Bool {
        session.takesApplicationBytes && (session.isOpen || leg?.failure != nil)
    }

    /// Makes sure that the ring can take bytes. It grows only while everything in it is under way and more of it would let the
    /// link carry more. A session without a link takes what the ring holds, and no more.
    private func makeRoom() -> Bool {
        if outbound.capacity == 0 {
            isStarved = !growOutbound(to: 1)
            if isStarved, session.hasLink { loop.arena.budget.noteShortage() }
            return !isStarved
        }
        if outbound.freeSpace > 0 { return true }
        guard outbound.capacity < outbound.maximum, session.hasLink, !session.hasUnsent else { return false }
        let isWorthwhile = growth.isWorthwhile(capacity: outbound.capacity, end: outbound.end, loop.now) {
            links.filter { session.isCurrent($0.number) }.compactMap { vitals(of: $0)?.roundTrip }.max()
        }
        // Some large rings must not leave others without any.
        let larger = min(outbound.capacity * 2, outbound.maximum)
        guard isWorthwhile, loop.arena.budget.allowsGrowth(to: larger) else { return false }
        return growOutbound(to: larger) && outbound.freeSpace > 0
    }

    /// The new place is published before anything is received into it.
    private func growOutbound(to bytes: Int) -> Bool {
        outbound.grow(to: bytes) { offset, size in
            owner?.recoveryFactsChanged(self, .ringMoved(arena: loop.arena.label, offset: offset, size: size))
        }
    }

    private func applicationReset() {
        owner?.recoveryFactsChanged(self, .resetSeen)
        session.applicationReset(code: 0, loop.now)
        abortLeg()
    }

    // MARK: - To the application

    /// Writes received bytes straight on; only what the leg does not take is held.
    func deliver(_ delivery: inout Delivery) {
        guard !delivery.isEmpty else { return }
        var taken = 0
        if held.isEmpty, leg?.isWritable == true {
            taken = write(delivery.byteCount) { leg in delivery.withVector { leg.socket.send($0) } }
            held.advance(to: session.deliveredBytes)
        }
        if taken < delivery.byteCount, session.wantsDelivery {
            var fits = true
            delivery.forEach(behind: taken) { span in
                fits = fits && held.append(span) == span.count
            }
            // The window was a promise that this process cannot keep.
            if !fits { session.drop(saying: .exhausted, loop.now) }
        }
        delivery = Delivery()
    }

    /// Keeps what came before its turn, on another link than what precedes it.
    func hold(_ bytes: UnsafeRawBufferPointer, at position: Position) {
        if !held.place(bytes, at: position) { session.drop(saying: .exhausted, loop.now) }
    }

    /// Bytes that came early follow what has just come.
    func closeGap(behind delivery: inout Delivery) {
        deliver(&delivery)
        if session.wantsDelivery { held.extend(to: session.receivedBytes) }
    }

    func deliverHeld() {
        while !held.isEmpty, leg?.isWritable == true {
            let (first, second) = held.spans(of: held.base..<held.end)
            var delivery = Delivery()
            delivery.append(first)
            if let second { delivery.append(second) }
            let count = write(delivery.byteCount) { leg in delivery.withVector { leg.socket.send($0) } }
            held.release(below: held.base + UInt64(count))
        }
        if held.isEmpty { held.trim() }
    }

    /// - Returns: bytes that the leg took, which are counted as delivered.
    private func write(_ wanted: Int, _ send: (borrowing LegConnection) -> TransferResult) -> Int {
        guard leg != nil else { return 0 }
        switch send(leg!) {
        case .bytes(let count):
            if count < wanted { leg?.isWritable = false }
            session.applicationTook(count, loop.now)
            return count
        case .failed(let code):
            // What the application wrote before it went is still to be read; `readLeg` then sees the end.
            leg?.isWritable = false
            leg?.isReadable = true
            leg?.hidesMore = true
            leg?.failure = code
            // The kernel has told it once, and will not tell a successor.
            owner?.recoveryFactsChanged(self, .resetSeen)
        case .wouldBlock: leg?.isWritable = false
        case .endOfStream: preconditionFailure("a write has no end of stream")
        }
        return 0
    }

    func deliverFin() {
        guard session.finIsDue, held.isEmpty, leg != nil else { return }
        owner?.recoveryFactsChanged(self, .finDelivered)
        do {
            try leg?.socket.shutdownSending()
        } catch {
            leg?.failure = error
            leg?.isReadable = true
            owner?.recoveryFactsChanged(self, .resetSeen)
            return
        }
        session.applicationTookFin(loop.now)
    }

    // MARK: - Endings

    /// Both directions are done: the leg may end in order.
    func closeLegIfComplete() {
        guard session.isComplete, let leg = leg.take() else { return }
        legReset = .none
        owner?.recoveryFactsChanged(self, .legCompleted(delivered: session.deliveredBytes))
        _ = try? leg.socket.setResetOnClose(false)
        loop.deregister(leg.registration)
        _ = consume leg
        owner?.legClosed(self)
    }

    /// Resets the leg once what was written to it has left, or after a grace time.
    func resetLeg() {
        guard leg != nil else {
            expectsLeg = false
            return
        }
        let unsent = (try? leg?.socket.unacknowledgedBytes()) ?? 0
        switch legReset {
        case .none where unsent > 0: legReset = .due(loop.now + SessionDriver.resetGrace)
        case .due(let deadline) where unsent > 0 && deadline > loop.now: return
        case .none, .due: abortLeg()
        }
    }

    func abortLeg() {
        guard let leg = leg.take() else { return }
        legReset = .none
        owner?.recoveryFactsChanged(self, .abortDecided(delivered: session.deliveredBytes))
        _ = try? leg.socket.abort()
        loop.deregister(leg.registration)
        _ = consume leg
        held.removeAll()
        held.trim()
        owner?.legClosed(self)
    }
}
