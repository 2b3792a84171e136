// Frames to the peer.

extension Session {
    /// The next frame for a link that can take one, or nil. What is returned counts as sent.
    ///
    /// Order: handshake, turn, PONG, ABORT, resends, new bytes, FIN, ACK, PING, LEAVE; so that nothing waits behind bytes but
    /// what rides on them.
    public mutating func nextFrame(on number: LinkNumber, _ now: Instant, maximumData: Int) -> OutgoingFrame? {
        guard let index = index(of: number) else { return nil }
        if !links[index].handshake.isEmpty { return .handshake(links[index].handshake.removeFirst()) }
        switch links[index].state {
        case .connecting, .connectingEarly, .opening, .claiming, .attaching: return nil
        case .joined: return nextLivenessFrame(index, now)
        case .current: return nextCurrentFrame(index, now, maximumData)
        case .leaving: return nextLeavingFrame(index)
        }
    }

    /// Handshake frames wait for the link to take them.
    public func hasHandshake(_ number: LinkNumber) -> Bool {
        index(of: number).map { !links[$0].handshake.isEmpty } ?? false
    }

    private mutating func nextCurrentFrame(_ index: Int, _ now: Instant, _ maximumData: Int) -> OutgoingFrame? {
        if let turn = links[index].owedTurn {
            links[index].owedTurn = nil
            return .header(header(.ack, on: index, flags: turn.part.rawValue, offset: turn.number))
        }
        if let pong = nextPong(index) { return pong }
        if let code = abortHere, !links[index].abortSent, !isEnding {
            links[index].abortSent = true
            return .header(header(.abort, on: index, flags: code, offset: sender.endWithFin))
        }
        if !isEnding, let segment = nextSegment(index, maximum: min(maximumData, Wire.maximumData)) {
            exchanged(on: index, now)
            switch segment {
            case .bytes(let range):
                links[index].carried.insert(range)
                var header = header(.data, on: index, offset: range.lowerBound)
                header.length = UInt32(range.count)
                return .data(header, range)
            case .fin(let position):
                links[index].carried.insert(position..<position + 1)
                return .header(header(.fin, on: index, offset: position))
            }
        }
        if receiver.mustAcknowledge || links[index].owesFrame {
            return .header(header(.ack, on: index, offset: sender.next))
        }
        return nextPing(index, now)
    }

    private mutating func nextSegment(_ index: Int, maximum: Int) -> Sender.Segment? {
        switch mode {
        case .failover, .stripe: sender.nextSegment(maximum: maximum)
        case .mirror: sender.nextSegment(from: &links[index].mirrored, maximum: maximum)
        }
    }

    private mutating func nextLivenessFrame(_ index: Int, _ now: Instant) -> OutgoingFrame? {
        nextPong(index) ?? nextPing(index, now)
    }

    private mutating func nextPong(_ index: Int) -> OutgoingFrame? {
        guard let echo = links[index].owedPong else { return nil }
        links[index].owedPong = nil
        return .header(header(.pong, on: index, offset: echo))
    }

    private mutating func nextPing(_ index: Int, _ now: Instant) -> OutgoingFrame? {
        guard links[index].wantsPing else { return nil }
        links[index].wantsPing = false
        notePing(on: index, now)
        return .header(header(.ping, on: index, offset: now.nanoseconds))
    }

    private mutating func nextLeavingFrame(_ index: Int) -> OutgoingFrame? {
        switch links[index].farewell {
        case .unsaid where links[index].endsAfterHandshake:
            links[index].farewell = .ended
            return .end
        case .unsaid:
            links[index].farewell = .said
            return .header(header(.leave, on: index, offset: sender.next))
        case .said:
            links[index].farewell = .ended
            return .end
        case .ended: return nil
        }
    }

    private mutating func header(
        _ type: FrameType, on index: Int, flags: UInt8 = 0, offset: Position
    ) -> FrameHeader {
        if receiver.mustAcknowledge || receiver.hasUnannounced, mode != .failover {
            // One of the links may be slow, or dead without a sign: what the peer waits for goes on each.
            for other in links.indices where links[other].state == .current { links[other].owesFrame = true }
        }
        links[index].owesFrame = false
        return FrameHeader(
            type: type, flags: flags, window: receiver.announce(), offset: offset, acknowledged: receiver.delivered)
    }
}
