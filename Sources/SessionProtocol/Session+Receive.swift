// Frames from the peer.

extension Session {
    /// Takes the bytes of `input` from `cursor` on, which arrived on a link, up to the next thing that the driver must
    /// do, and advances `cursor`. Call it again until it says `needMore` or that the link failed.
    public mutating func receive(
        on number: LinkNumber, _ input: RawSpan, _ cursor: inout Int, _ now: Instant
    ) -> Received {
        guard let first = index(of: number) else { return .linkFailed(.closed) }
        heard(on: first, now)
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
                guard links[index].hasJoined || links[index].state == .leaving else {
                    return .linkFailed(.frame(.unexpected(.data)))
                }
                exchanged(on: index, now)
                take(acknowledgementOf: header, on: index, now)
            case .data(let position, let range):
                guard abortHere == nil, !isEnding else { continue }
                switch receiver.admit(range.count, at: position) {
                case .new(let skip):
                    resetBackoff(on: number)
                    return .data(range.lowerBound + skip..<range.upperBound)
                case .early: return .early(position, range)
                case .duplicate: receiver.requestAcknowledgement()
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
        // The link itself is copied only where that is rare.
        switch (links[index].state, header.type) {
        case (.opening, .opened), (.opening, .refused), (.opening, .gone), (.attaching, .attached), (.attaching, .gone):
            do {
                return try takeAnswer(header, links[index], now)
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, .gone), (.current, .gone), (.leaving, .gone):
            do {
                return try takeGone(links[index], now)
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, .attach), (.current, .attach):
            // One at a time: an opener that does not read its answers must not make them pile up here.
            guard role == .acceptor, links[index].number == 0, links[index].handshake.isEmpty else {
                return .linkFailed(.frame(.unexpected(.attach)))
            }
            do {
                return .attach(try AttachClaim.decode(header, links[index].decoder.payload))
            } catch {
                return .linkFailed(.frame(error))
            }
        case (.joined, _), (.current, _), (.leaving, _):
            return takeOrdinary(header, on: index, now)
        case (.connecting, _), (.connectingEarly, _), (.claiming, _), (.opening, _), (.attaching, _):
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
        case .open, .attach, .lookup, .found, .ask, .answer, .data, .ack, .fin, .abort, .ping, .pong, .leave:
            return .linkFailed(.frame(.unexpected(header.type)))
        }
    }

    private mutating func takeOrdinary(_ header: FrameHeader, on index: Int, _ now: Instant) -> Received? {
        let number = links[index].number
        if header.type == .fin { exchanged(on: index, now) }
        take(acknowledgementOf: header, on: index, now)
        switch header.type {
        case .ack:
            guard role == .acceptor, let part = Turn.Part(rawValue: header.flags) else { break }
            if let index = self.index(of: number), links[index].hasJoined {
                take(Turn(number: header.offset, part: part), on: index, now)
            }
        case .fin:
            guard abortHere == nil, !isEnding else { return nil }
            switch receiver.admitFin(at: header.offset) {
            case .new: resetBackoff(on: number)
            case .early: break
            case .duplicate: receiver.requestAcknowledgement()
            case .violation: end(.violation(.beyondFin), saying: .violation, now)
            }
        case .abort: takeAbort(at: header.offset, now)
        case .ping:
            if let index = self.index(of: number) {
                links[index].owedPong = header.offset
                // That the acceptor is heard says nothing of the way there; its own PINGs must not put off the opener's.
                if role == .opener { links[index].wantsPing = true }
            }
        case .pong:
            if let index = self.index(of: number) {
                links[index].liveness.ponged(Instant(nanoseconds: header.offset), now)
                preferBetterPath(now)
            }
        case .leave:
            if let index = self.index(of: number) { retire(index, now) }
        case .data, .open, .opened, .refused, .attach, .attached, .gone, .lookup, .found, .ask, .answer:
            return .linkFailed(.frame(.unexpected(header.type)))
        }
        return nil
    }

    /// The acknowledgement and window that ride on every frame.
    private mutating func take(acknowledgementOf header: FrameHeader, on index: Int, _ now: Instant) {
        if role == .acceptor { timers[.confirmation] = nil }
        _ = acknowledge(header.acknowledged, limit: header.limit, on: links[index].number, now)
    }

    /// False when the position was never sent, which has ended the session.
    mutating func acknowledge(
        _ position: Position, limit: Position, on number: LinkNumber?, _ now: Instant
    ) -> Bool {
        switch sender.acknowledge(position, limit: limit) {
        case .unchanged: return true
        case .advanced:
            for index in links.indices { links[index].carried.removeBelow(position) }
            if let number { resetBackoff(on: number) }
            finishIfComplete(now)
            return true
        case .violation:
            end(.violation(.acknowledgedUnsent), saying: .violation, now)
            return false
        }
    }

    private mutating func resetBackoff(on number: LinkNumber) {
        guard role == .opener, let index = index(of: number) else { return }
        resetBackoff(of: links[index].path)
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
        case .farewell: sayFarewell()
        case .opening, .over: return
        }
    }

    /// The peer retires this link. It says nothing more on it, and neither does this end.
    private mutating func retire(_ index: Int, _ now: Instant) {
        leave(index, now)
        links[index].endsAfterHandshake = true
        noteSuspension(now)
        shareAnew(now)
        replaceCurrent(now)
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
