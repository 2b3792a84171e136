import NetworkLab

/// How long a ping-pong pauses under each fault: of sessions, and beside them, in the same network and at the same time,
/// of plain TCP, multipath TCP and an ssh tunnel.
struct Measurement {
    /// One fault, how long it lasts, and how often it is measured.
    struct Case {
        var fault: Fault
        var length: Duration
        var times: Int
    }

    /// - Parameter share: of the repetitions.
    static func cases(of faults: [Fault], share: Double) -> [Case] {
        func scaled(_ times: Int) -> Int { max(1, Int((Double(times) * share).rounded())) }
        return faults.map { fault in
            switch fault {
            case .reset: Case(fault: fault, length: .zero, times: scaled(100))
            case .agentKilled, .gatewayKilled, .bothKilled: Case(fault: fault, length: .zero, times: scaled(30))
            case .rebinding, .outerAddress, .gatewayReplaced, .agentReplaced:
                Case(fault: fault, length: .zero, times: scaled(10))
            case .forgetting: Case(fault: fault, length: .zero, times: scaled(5))
            case .silence: Case(fault: fault, length: .seconds(5), times: scaled(5))
            case .silenceOut, .silenceBack: Case(fault: fault, length: .seconds(5), times: scaled(3))
            case .addressChange: Case(fault: fault, length: .milliseconds(500), times: scaled(10))
            case .agentStopped, .gatewayStopped: Case(fault: fault, length: .seconds(2), times: scaled(3))
            default: Case(fault: fault, length: .seconds(2), times: scaled(5))
            }
        }
    }

    /// Pauses of one contender, in nanoseconds.
    struct Pauses {
        var whole: [Int] = []
        /// In the half second before the fault: what the machine does to everybody.
        var before: [Int] = []
        /// From the fault's end on.
        var after: [Int] = []
        var deaths = 0
        /// The trip was not over when the measurement was.
        var unfinished = 0
    }

    /// How long nothing happens before each fault.
    private static let calm: UInt64 = 500_000_000
    /// How long after a fault's end a contender is waited for.
    private static let patience: UInt64 = 8_000_000_000

    static func run(
        usl: String, _ options: FaultSite.Options, cases: [Case], kinds: [Contender.Kind]
    ) throws {
        show(header)
        for needsTranslation in [false, true] {
            let part = cases.filter { $0.fault.needsTranslation == needsTranslation }
            if part.isEmpty { continue }
            var options = options
            options.isTranslated = needsTranslation
            try FaultSite.with(usl: usl, options) { site in
                let shell = try Contender.prepare(site)
                for one in part {
                    let contenders = kinds.map { Contender($0, site, shell) }
                    let pauses = try measure(one, site, contenders)
                    for (contender, pauses) in zip(contenders, pauses) {
                        show(row(one, contender.kind, pauses))
                        contender.stop()
                    }
                }
            }
        }
    }

    private static func measure(
        _ one: Case, _ site: FaultSite, _ contenders: [Contender]
    ) throws -> [Pauses] {
        var pauses = contenders.map { _ in Pauses() }
        for _ in 0..<one.times {
            // Who has not come back twice is not waited for again.
            let active = contenders.indices.filter { pauses[$0].unfinished < 2 }
            for index in active { try contenders[index].ensureRunning() }
            rest(until: labNow() + calm)
            let begin = labNow()
            if one.fault == .reset { try site.resetEverything() } else { try site.begin(one.fault) }
            if !one.fault.isMomentary {
                rest(until: begin + UInt64(one.length / .nanoseconds(1)))
                try site.end(one.fault)
            }
            let end = labNow()
            // Some time longer, so that what comes of the fault late is counted too.
            rest(until: end + 300_000_000)
            let settled = labNow()
            try? waitUntil("the end of pauses", within: .nanoseconds(Int(patience))) {
                active.allSatisfy { contenders[$0].hasDied || contenders[$0].report.lastTick > settled }
            }
            for index in active {
                let contender = contenders[index]
                let report = contender.report
                if contender.hasDied {
                    pauses[index].deaths += 1
                } else if report.lastTick <= settled {
                    pauses[index].unfinished += 1
                    contender.stop()
                } else {
                    let touched = report.pauses.filter { $0.begin + $0.length > Int(begin) && $0.begin < Int(settled) }
                    let early = report.pauses.filter {
                        $0.begin > Int(begin - calm) && $0.begin + $0.length < Int(begin)
                    }
                    pauses[index].before.append(early.map(\.length).max() ?? 0)
                    pauses[index].whole.append(touched.map(\.length).max() ?? 0)
                    pauses[index].after.append(
                        touched.map { $0.begin + $0.length - max($0.begin, Int(end)) }.max() ?? 0)
                }
            }
        }
        return pauses
    }

    // MARK: - The table

    private static let header = """
        | fault | lasts | times | under | median | p99 | longest | longest after its end | longest before it | ended | not over after \(patience / 1_000_000_000) s |
        |---|---|---|---|---|---|---|---|---|---|---|
        """

    private static func row(_ one: Case, _ kind: Contender.Kind, _ pauses: Pauses) -> String {
        let whole = pauses.whole.sorted()
        let cells = [
            one.fault.rawValue, one.fault.isMomentary ? "" : seconds(one.length), "\(one.times)", kind.rawValue,
            cell(percentile(whole, 0.5)), cell(percentile(whole, 0.99)), cell(whole.last),
            one.fault.isMomentary ? "" : cell(pauses.after.map { max(0, $0) }.max()),
            cell(pauses.before.max()), pauses.deaths == 0 ? "" : "\(pauses.deaths)",
            pauses.unfinished == 0 ? "" : "\(pauses.unfinished)",
        ]
        return "| " + cells.joined(separator: " | ") + " |"
    }

    private static func percentile(_ sorted: [Int], _ share: Double) -> Int? {
        sorted.isEmpty ? nil : sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]
    }

    private static func cell(_ nanoseconds: Int?) -> String { nanoseconds.map { milliseconds($0) } ?? "–" }

    private static func seconds(_ duration: Duration) -> String { "\(duration / .seconds(1)) s" }
}
