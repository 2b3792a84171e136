// Frames from the peer.

extension Session {
    /// Takes the bytes of `input` from `cursor` on, which arrived on a link, up to the next thing that the driver must
    /// do, and advances `cursor`. Call it again until it says `needMore` or that the link failed.
    public mutating func receive(
        on number: LinkNumber, _ input: RawSpan, _ cursor: inout Int, _ now: Instant
    ) -> Received {
        guard let first = index(of: number) else { return .linkFailed(.closed) }
        links[first].lastHeard = now
        while let index = self.index(of: number) {
            let event: FrameDecoder.Event
            do {
                event = try links[index].decoder.next(input, &cursor)
            } catch {
                return .linkFailed(.frame(error))
            }
            switch event {
            case .needMore: return .needMore
            case .preface: continue
            case .dataHeader(let header):
                guard links[index].hasJoined || links[index].isRetired else {
                    return .linkFailed(.frame(.unexpected(.data)))
                }
                heard(header, on: index, now)
            case .data(let position, let range):
                guard abortHere == nil, !isEnding else { continue }
                switch receiver.admit(range.count, at: position) {
                case .new(let skip):
                    backoff.reset()
                    return .data(range.lowerBound + skip..<range.upperBound)
                case .duplicate: receiver.requestAcknowledgement()
                case .gap: return .linkFailed(.gap)
                case .violation: end(.violation(.beyondWindow), saying: .violation, now)
                }
            case .frame(let header):
                if let result = take(header, on: index, now) { return result }
            }
        }
        // The session has ended or closed this link while taking a frame.
        cursor = input.byteCount
        return .needMore
    }

    private mutating func take(_ header: FrameHeader, on index: Int, _ now: Instant) -> Received? {
        let link = links[index]
        switch (link.state, header.type) {
        case (.opening, .opened), (.opening, .refused), (.opening, .gone), (.attaching, .attached), (.attaching, .gone):
            do {
                return try takeAnswer(header, link, now)
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, .gone), (.current, .gone), (.retiring, .gone), (.leaving, .gone):
            do {
                return try takeGone(link, now)
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, .attach), (.current, .attach):
            // One at a time: an opener that does not read its answers must not make them pile up here.
            guard role == .acceptor, link.number == 0, link.handshake.isEmpty else {
                return .linkFailed(.frame(.unexpected(.attach)))
            }
            do {
                return .attach(try AttachClaim.decode(header, link.decoder.payload))
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, _), (.current, _), (.retiring, _), (.leaving, _):
            return takeOrdinary(header, on: index, now)
        case (.connecting, _), (.claiming, _), (.opening, _), (.attaching, _):
            return .linkFailed(.frame(.unexpected(header.type)))
        }
    }

    /// Answers to OPEN and ATTACH, on a link that has not joined.
    private mutating func takeAnswer(
        _ header: FrameHeader, _ link: Link, _ now: Instant
    ) throws(FrameError) -> Received? {
        switch header.type {
        case .opened:
            guard case .opening(let frame, _) = phase else { return .linkFailed(.frame(.unexpected(.opened))) }
            return .opened(try OpenedMessage.decode(header, link.decoder.payload, answering: frame))
        case .refused:
            endWithoutWord(.refused(try RefusedMessage(payload: link.decoder.payload)), now)
            return nil
        case .attached:
            return .attached(try AttachClaim.decode(header, link.decoder.payload))
        case .gone:
            return try takeGone(link, now)
        case .open, .attach, .data, .ack, .fin, .abort, .ping, .pong, .leave:
            return .linkFailed(.frame(.unexpected(header.type)))
        }
    }

    private mutating func takeOrdinary(_ header: FrameHeader, on index: Int, _ now: Instant) -> Received? {
        let number = links[index].number
        switch header.type {
        case .ack: heard(header, on: index, now)
        case .fin:
            heard(header, on: index, now)
            guard abortHere == nil, !isEnding else { return nil }
            switch receiver.admitFin(at: header.offset) {
            case .new: backoff.reset()
            case .duplicate: receiver.requestAcknowledgement()
            case .gap: return .linkFailed(.gap)
            case .violation: end(.violation(.beyondFin), saying: .violation, now)
            }
        case .abort:
            heard(header, on: index, now)
            takeAbort(at: header.offset, now)
        case .ping:
            heard(header, on: index, now)
            if let index = self.index(of: number) { links[index].owedPong = header.offset }
        case .pong:
            heard(header, on: index, now)
            let sent = Instant(nanoseconds: header.offset)
            if let index = self.index(of: number), sent <= now { links[index].sampleRTT(now - sent) }
        case .leave:
            heard(header, on: index, now)
            if let index = self.index(of: number) { retire(index, now) }
        case .data, .open, .opened, .refused, .attach, .attached, .gone:
            return .linkFailed(.frame(.unexpected(header.type)))
        }
        return nil
    }

    /// The acknowledgement and window that ride on every frame; and the opener's first frame makes a link current.
    private mutating func heard(_ header: FrameHeader, on index: Int, _ now: Instant) {
        if role == .acceptor {
            timers[.confirmation] = nil
            if links[index].state == .joined, header.type != .leave {
                makeCurrent(index, now)
            }
        }
        _ = acknowledge(header.acknowledged, limit: header.limit, now)
    }

    /// False when the position was never sent, which has ended the session.
    mutating func acknowledge(_ position: Position, limit: Position, _ now: Instant) -> Bool {
        switch sender.acknowledge(position, limit: limit) {
        case .unchanged: return true
        case .advanced:
            for index in links.indices { links[index].carried.removeBelow(position) }
            backoff.reset()
            finishIfComplete(now)
            return true
        case .violation:
            end(.violation(.acknowledgedUnsent), saying: .violation, now)
            return false
        }
    }

    private mutating func takeAbort(at position: Position, _ now: Instant) {
        switch phase {
        case .open where abortHere != nil || receiver.delivered >= position:
            abortByPeer = position
            answerAbort(now)
        case .open:
            guard abortByPeer == nil else { return }
            abortByPeer = position
            timers[.abort] = now + Session.abortGrace
        case .farewell: sayAborted()
        case .opening, .over: return
        }
    }

    /// The peer retires this link. It says nothing more on it, and neither does this end.
    private mutating func retire(_ index: Int, _ now: Instant) {
        sender.requeue(links[index].carried)
        links[index].carried = PositionRanges()
        links[index].state = .leaving
        links[index].endsAfterHandshake = true
        links[index].handshakeDeadline = now + Session.handshakeLimit
        armHandshakeTimer()
        noteSuspension(now)
        dialIfNeeded(now)
    }

    private mutating func takeGone(_ link: Link, _ now: Instant) throws(FrameError) -> Received? {
        let gone = try GoneMessage(payload: link.decoder.payload)
        switch role {
        case .acceptor:
            // The opener has proven itself on this link; its word is final, and answered with the acceptor's own.
            end(abortHere == nil ? ending(of: gone) : .abortedHere, saying: gone.reason, now)
        case .opener:
            // Only the session's own gateway can say that the session is gone: another machine that is reached at the
            // same private address knows nothing of it.
            if case .opening = phase {} else if gone.instance != instance { return .linkFailed(.otherInstance) }
            endWithoutWord(ending(of: gone), now)
        }
        return nil
    }

    private mutating func ending(of gone: GoneMessage) -> Ending {
        if let positions = gone.positions, sender.isFinished, positions.delivered == sender.endWithFin {
            _ = sender.acknowledge(positions.delivered, limit: 0)
        }
        if case .farewell(let ending) = phase { return ending }
        if isComplete { return .finished }
        if abortHere != nil { return .abortedHere }
        return gone.reason == .aborted ? .abortedByPeer : .gone(gone.reason)
    }
}
