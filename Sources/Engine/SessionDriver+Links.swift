import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A connection that a gateway has accepted, whose first frame has been read.
public struct AcceptedLink: ~Copyable, Sendable {
    public let link: Link
    public let remote: SocketAddress
    /// What has read that frame.
    public let decoder: FrameDecoder
    /// Bytes behind it that were read with it.
    public let unread: [UInt8]

    public init(
        link: consuming Link, remote: SocketAddress, decoder: FrameDecoder, unread: [UInt8]
    ) {
        self.link = link
        self.remote = remote
        self.decoder = decoder
        self.unread = unread
    }

    consuming func intoLink() -> Link { link }
}

extension SessionDriver {
    func add(_ accepted: consuming AcceptedLink, as number: LinkNumber) {
        let (remote, unread) = (accepted.remote, accepted.unread)
        let connection = LinkConnection(
            tag: nextTag(), number: number, accepted.intoLink(), to: remote, stage: .open)
        if connection.link.isSecured {
            notePeerKey(of: connection)
        } else {
            connection.stage = .securingEarly
        }
        do {
            connection.registration = try loop.register(connection.link.number, self, tag: connection.tag)
        } catch {
            return lose(number, .socket(error.rawValue))
        }
        connection.isWritable = true
        // What TLS has read and not given, no event tells of.
        if connection.link.hasBufferedInput {
            connection.isReadable = true
            loop.runLater(self)
        }
        lastPeer = remote
        links.append(connection)
        if !unread.isEmpty { unread.withUnsafeBytes { take($0, from: connection) } }
    }

    /// Reads what has arrived, so that a process that had no time for it does not blame the link, and then reports what
    /// the kernel knows.
    func examine(_ number: LinkNumber) {
        guard let connection = links.first(where: { $0.number == number }), connection.stage.isSecured else {
            return
        }
        connection.isReadable = true
        read(connection)
        guard let vitals = vitals(of: connection) else { return }
        session.linkExamined(connection.number, vitals, loop.now)
    }

    func vitals(of connection: LinkConnection) -> LinkVitals? {
        connection.link.withSocket { socket in
            guard let info = try? socket.info() else { return nil }
            let roundTrip: Interval? = info.rtt > 0 ? .microseconds(UInt64(info.rtt)) : nil
            if paths?.transport == .mptcp, (try? socket.transport()) == .mptcp {
                // The counters are those of its first connection, and others may carry what that one does not: what the link
                // itself answers must do.
                return LinkVitals(
                    acknowledged: 0, hasUnacknowledged: false, retransmissions: 0, roundTrip: roundTrip)
            }
            return LinkVitals(
                acknowledged: info.bytes_acked, hasUnacknowledged: info.unacked > 0 || info.notsent_bytes > 0,
                retransmissions: info.total_retrans, roundTrip: roundTrip)
        }
    }

    /// Reads what has arrived, as far as one turn allows.
    func read(_ connection: LinkConnection) {
        // One that ends before its handshake does has nothing to say.
        guard connection.link.isSecured else {
            connection.isReadable = false
            return
        }
        var total = 0
        while connection.isReadable, session.knows(connection.number) {
            guard total < SessionDriver.turnLimit else { return loop.runLater(self) }
            switch connection.link.read(into: loop.scratch) {
            case .bytes(let count):
                total += count
                take(UnsafeRawBufferPointer(rebasing: loop.scratch[..<count]), from: connection)
                // An edge tells of whatever comes behind a short read, unless the end of the stream is there already.
                if count < loop.scratch.count, !connection.isHangingUp, !connection.link.hasBufferedInput {
                    connection.isReadable = false
                }
                if connection.awaitsTicket, let ticket = connection.link.takeTicket() {
                    connection.awaitsTicket = false
                    tls?.tickets.add(ticket)
                }
            case .wouldBlock:
                connection.isReadable = false
                if let failure = connection.writeFailure { lose(connection.number, failure) }
            case .endOfStream: lose(connection.number, .closed)
            case .failed(let code): lose(connection.number, failure(of: connection, code))
            }
        }
    }

    /// Gives received bytes to the session and what is new of them to the application, in one write.
    private func take(_ input: UnsafeRawBufferPointer, from connection: LinkConnection) {
        var delivery = Delivery()
        var cursor = 0
        while true {
            switch session.receive(on: connection.number, input.bytes, &cursor, loop.now) {
            case .needMore:
                deliver(&delivery)
                return
            case .data(let range):
                if delivery.isFull { deliver(&delivery) }
                delivery.append(UnsafeRawBufferPointer(rebasing: input[range]))
                if session.receivedBytes != held.end + UInt64(delivery.byteCount) { closeGap(behind: &delivery) }
            case .early(let position, let range):
                deliver(&delivery)
                hold(UnsafeRawBufferPointer(rebasing: input[range]), at: position)
            case .opened(let opened): take(opened, on: connection.number)
            case .attached(let attached):
                guard let proof = proof(of: attached.transcript), let verified = attached.verified(by: proof) else {
                    deliver(&delivery)
                    return lose(connection.number, .unproven)
                }
                connection.place = nil
                session.attached(verified, on: connection.number, loop.now)
            case .attach(let attach):
                guard let verified = proof(of: attach.transcript).flatMap(attach.verified(by:)) else {
                    deliver(&delivery)
                    return lose(connection.number, .unproven)
                }
                rejoin(verified, connection)
            case .linkFailed(let failure):
                deliver(&delivery)
                return lose(connection.number, failure)
            }
        }
    }

    /// A link that has carried OPEN attaches like any other, under its own number.
    private func rejoin(_ attach: Verified<AttachClaim>, _ connection: LinkConnection) {
        switch session.rejoin(attach, on: connection.number, loop.now) {
        case .joined(let claim):
            connection.number = claim.link
            owner?.recoveryFactsChanged(self, .epoch(session.highestEpoch))
            seal(claim, on: claim.link)
        case .stale(let claim): seal(claim, on: connection.number)
        case .gone: lose(connection.number, .unproven)
        }
    }

    /// Gives the link what the session has for it, as far as it takes it in this turn.
    func flush(_ connection: LinkConnection) {
        guard connection.stage.isSecured || connection.stage.isEarly else { return }
        if sendsEarly(connection) { return }
        var total = 0
        while connection.isWritable {
            fill(connection)
            guard !connection.queue.isEmpty || connection.link.hasBufferedOutput else {
                // OPEN has left. Its answer is the target's, which may take its time.
                if !session.isOpen { connection.place = nil }
                if connection.stage == .ending { shut(connection) }
                return
            }
            guard total < SessionDriver.turnLimit else { return loop.runLater(self) }
            let wanted = connection.queue.byteCount
            let result =
                wanted > 0 ? connection.queue.write(to: &connection.link, from: outbound) : connection.link.flush()
            switch result {
            case nil: continue
            case .bytes(let count):
                total += count
                if count < wanted, !connection.queue.isEmpty { connection.isWritable = count == 0 }
            case .wouldBlock: connection.isWritable = false
            case .endOfStream: preconditionFailure("a write has no end of stream")
            case .failed(let code): drain(connection, failure(of: connection, code))
            }
        }
    }

    private func fill(_ connection: LinkConnection) {
        while connection.queue.wantsMore, connection.stage == .open || connection.stage == .securingEarly,
            let frame = session.nextFrame(on: connection.number, loop.now, maximumData: Wire.maximumData)
        {
            if frame == .end { connection.stage = .ending } else { connection.queue.append(frame) }
        }
    }

    /// What a link has delivered to this kernel is read before it is dropped, also after a reset. Reading then finds the
    /// failure, or the end, or nothing, if the kernel was out of memory for the write alone.
    private func drain(_ connection: LinkConnection, _ failure: LinkFailure) {
        connection.writeFailure = failure
        connection.isWritable = false
        connection.isReadable = true
        connection.isHangingUp = true
        loop.runLater(self)
    }

    private func shut(_ connection: LinkConnection) {
        connection.stage = .ended
        _ = try? connection.link.shutdown()
    }

    func close(_ number: LinkNumber) {
        guard let index = links.firstIndex(where: { $0.number == number }) else { return }
        let connection = links.remove(at: index)
        if let registration = connection.registration { loop.deregister(registration) }
        connection.registration = nil
        connection.isReadable = false
        connection.isWritable = false
    }
}
