import Engine
import Rendezvous
import SessionProtocol

extension DatagramRelay {
    enum Search {
        case notBegun
        /// Until then, what is refused everywhere waits for more.
        case running(patience: Instant)
        case late
        case done

        var isWaitedFor: Bool {
            switch self {
            case .notBegun, .running: true
            case .late, .done: false
            }
        }
    }

    /// How long other addresses are looked for before an application is told that the one it asked refuses.
    private static let searchPatience = Interval.seconds(1)

    // MARK: - Other paths

    func beginSearch() {
        search = .running(patience: loop.now + Self.searchPatience)
        surroundings.find { [weak self] pairs in
            self?.found(pairs)
        } _: { [weak self] in
            self?.searchEnded(.done)
        }
    }

    private func found(_ pairs: [CandidatePair]) {
        guard registration != nil else { return }
        self.pairs = pairs
        for request in requests { perform(request, request.planner.offer(pairs, now: loop.now.nanoseconds)) }
        setTimer()
    }

    private func searchEnded(_ search: Search) {
        guard registration != nil else { return }
        self.search = search
        for request in requests { perform(request, request.planner.noMoreWillCome(now: loop.now.nanoseconds)) }
        setTimer()
    }

    // MARK: - Time

    func setTimer() {
        if let timer { loop.cancel(timer) }
        timer = nil
        guard registration != nil, let deadline = nextDeadline else { return }
        timer = loop.schedule(self, at: deadline)
    }

    private var nextDeadline: Instant? {
        var deadlines = requests.flatMap { [$0.planner.nextDeadline.map(Instant.init(nanoseconds:)), end(of: $0)] }
        switch search {
        case .notBegun: deadlines += requests.map(\.silence)
        case .running(let patience): deadlines.append(patience)
        case .late, .done: break
        }
        deadlines += overtaken.map { end(of: $0) }
        deadlines.append(refusalEnd)
        return deadlines.compactMap(\.self).min()
    }

    private func end(of request: DatagramRequest) -> Instant {
        request.began + Interval(nanoseconds: surroundings.timing.budget)
    }

    private func end(of line: DatagramLine) -> Instant {
        line.lastSent + Interval(nanoseconds: surroundings.timing.delay)
    }

    private func timePassed() {
        let now = loop.now
        if let refusalEnd, now >= refusalEnd { endRefusal() }
        if case .running(let patience) = search, now >= patience { searchEnded(.late) }
        if case .notBegun = search, requests.contains(where: { now >= $0.silence }) { beginSearch() }
        for request in requests { perform(request, request.planner.timePassed(now: now.nanoseconds)) }
        for request in requests where now >= end(of: request) {
            drop(request)
            releaseCopy()
        }
        requests.removeAll { now >= end(of: $0) }
        for line in overtaken where now >= end(of: line) { close(line) }
        setTimer()
    }
}

extension DatagramRelay: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        timePassed()
    }
}
