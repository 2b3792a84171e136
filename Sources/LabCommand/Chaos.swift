import NetworkLab

/// Random traffic and random faults, both from one seed, on one site; a verdict in the end.
struct Chaos {
    struct Options {
        var usl: String
        var seed: UInt64
        var seconds: Int
        var faults: [Fault]
        var programs: Int
        var connections: Int
        var links: [String]
    }

    /// A fault that happened, in nanoseconds of `labNow`.
    struct Event {
        var fault: Fault
        var begin: UInt64
        var end: UInt64
    }

    private let options: Options
    private let site: FaultSite
    private var chance: LabChance
    private var events: [Event] = []
    /// What lasts now: since when, until when, and where.
    private var lasting: [(fault: Fault, interface: Int, begin: UInt64, until: UInt64)] = []

    /// - Returns: the exit status: 0 when every byte of every connection arrived.
    static func run(_ options: Options) throws -> Int32 {
        var siteOptions = FaultSite.Options()
        siteOptions.interfaces = 2
        siteOptions.isTranslated = true
        siteOptions.calm = .rate(.megabits(200))
        siteOptions.seed = options.seed
        siteOptions.clientOptions = options.links
        return try FaultSite.with(usl: options.usl, siteOptions) { site in
            var chaos = Chaos(options: options, site: site, chance: LabChance(seed: options.seed))
            return try chaos.run()
        }
    }

    private init(options: Options, site: FaultSite, chance: LabChance) {
        self.options = options
        self.site = site
        self.chance = chance
    }

    private mutating func run() throws -> Int32 {
        show(
            "seed \(options.seed), \(options.seconds) seconds, \(options.programs) programs of \(options.connections) connections"
        )
        var programs: [LabProcess] = []
        for number in 0..<options.programs {
            programs.append(
                try site.startMix(
                    seed: options.seed &+ UInt64(number) &* 77, connections: options.connections,
                    seconds: options.seconds))
        }
        // These two tell how long streams paused.
        programs.append(
            try site.start((1...2).map { .pingPong(id: $0, for: .seconds(options.seconds), pause: .milliseconds(5)) }))
        var memory: [Memory] = []
        let begin = labNow()
        let end = begin + UInt64(options.seconds) * 1_000_000_000
        var nextFault = begin + 2_000_000_000
        var nextLine = begin + 10_000_000_000
        while labNow() < end, site.gateway.ended == nil {
            let now = labNow()
            try endFaults(until: now)
            if now >= nextFault {
                try beginFault()
                nextFault = labNow() + UInt64.random(in: 100_000_000...3_000_000_000, using: &chance)
            }
            if now >= nextLine {
                nextLine += 10_000_000_000
                // By now all programs have started, and have sessions.
                if memory.isEmpty { memory.append(Memory(site)) }
                progress(Int((now - begin) / 1_000_000_000))
            }
            let next = ([nextFault, nextLine, end] + lasting.map(\.until)).min() ?? end
            rest(until: min(next, labNow() + 1_000_000_000))
        }
        memory.append(Memory(site))
        try endFaults(until: .max)
        return try verdict(programs, memory)
    }

    // MARK: - Faults

    private mutating func beginFault() throws {
        let fault = options.faults[Int.random(in: 0..<options.faults.count, using: &chance)]
        let interface = Int.random(in: 0..<2, using: &chance)
        let length = UInt64.random(in: 50_000_000...4_000_000_000, using: &chance)
        // A path has one fault at a time, a process too.
        let place = fault.place(interface)
        guard !lasting.contains(where: { $0.fault.place($0.interface) == place }) else { return }
        let begin = labNow()
        try site.begin(fault, interface)
        if fault.isMomentary {
            events.append(Event(fault: fault, begin: begin, end: labNow()))
        } else {
            lasting.append((fault, interface, begin, begin + length))
        }
    }

    private mutating func endFaults(until time: UInt64) throws {
        for entry in lasting where entry.until <= time {
            try site.end(entry.fault, entry.interface)
            events.append(Event(fault: entry.fault, begin: entry.begin, end: labNow()))
        }
        lasting.removeAll { $0.until <= time }
    }

    private func progress(_ second: Int) {
        let report = site.serverReport
        show(
            "\(second) s: \(events.count) faults, \(report.connections.count) connections done, "
                + "\(report.bytes / 1_000_000) MB, \(report.failures.count) failures")
    }

    // MARK: - The end

    private func verdict(_ programs: [LabProcess], _ memory: [Memory]) throws -> Int32 {
        var findings: [String] = []
        var reports: [TrafficReport] = []
        let limit = labNow() + 45_000_000_000
        for (number, program) in programs.enumerated() {
            let left = limit > labNow() ? limit - labNow() : 1
            if (try? program.wait(.nanoseconds(Int(left)))) == nil {
                findings.append("program \(number) does not end; its sessions, and the gateway's:")
                for host in ["client", "server"] {
                    show(try site.lab[host].run([options.usl, "status"], within: .seconds(10)).output)
                }
                program.terminate()
            }
            if case .exited(0)? = program.ended {
            } else {
                findings.append(
                    "program \(number) ended: \(program.ended.map { "\($0)" } ?? "no"): \(program.standardError.suffix(2000))"
                )
            }
            reports.append(TrafficReport(program.standardOutput))
        }
        // The server sees the last ends a moment later.
        let done = reports.reduce(0) { $0 + $1.connections.count }
        try? waitUntil("the server's ends", within: .seconds(10)) { site.serverReport.connections.count >= done }
        let server = site.serverReport
        for report in reports {
            findings += TrafficReport.findings(client: report, server: TrafficReport(of: server, report))
        }
        if !server.failures.isEmpty { findings += server.failures.map { "server, \($0.id): \($0.reason)" } }
        if let end = site.gateway.ended { findings.append("the gateway ended: \(end): \(site.gateway.standardError)") }

        show("")
        show("fault               times   longest pause   longest after its end")
        for fault in Fault.allCases {
            let times = events.filter { $0.fault == fault }
            if times.isEmpty { continue }
            let longest = reports.last.map { pauses(of: fault, in: $0) } ?? (whole: 0, after: 0)
            let cells = [
                pad(fault.rawValue, 20, left: true), pad("\(times.count)", 5),
                pad(milliseconds(longest.whole), 16), pad(milliseconds(longest.after), 24),
            ]
            show(cells.joined())
        }
        let bytes = server.bytes
        show("")
        show(
            "\(events.count) faults, \(done) connections, \(bytes) bytes verified at both ends by SHA-256, "
                + "longest pause \(milliseconds(reports.last?.pauses.map(\.length).max() ?? 0))")
        show(Memory.text(memory + [Memory(site)]))
        for finding in Set(findings).sorted().prefix(50) { show("FOUND: \(finding)") }
        show(findings.isEmpty ? "clean (seed \(options.seed))" : "\(findings.count) findings (seed \(options.seed))")
        return findings.isEmpty ? 0 : 1
    }

    /// The longest pause that a fault may have caused, as a whole and behind the fault's end. Where several faults
    /// overlap, each is blamed.
    private func pauses(of fault: Fault, in report: TrafficReport) -> (whole: Int, after: Int) {
        var longest = (whole: 0, after: 0)
        for event in events where event.fault == fault {
            for pause in report.pauses {
                let (begin, end) = (pause.begin, pause.begin + pause.length)
                guard end > Int(event.begin), begin < Int(event.end) + 20_000_000 else { continue }
                longest.whole = max(longest.whole, pause.length)
                longest.after = max(longest.after, end - max(begin, Int(event.end)))
            }
        }
        return longest
    }

    private func milliseconds(_ nanoseconds: Int) -> String { "\(nanoseconds / 1_000_000) ms" }
}

/// What the processes of a site have in memory.
private struct Memory {
    let agents: Int
    let gateway: Int

    init(_ site: FaultSite) {
        agents = site.agents().compactMap { residentMemory(of: $0) }.reduce(0, +)
        gateway = site.gatewayWorker().flatMap { residentMemory(of: $0) } ?? 0
    }

    /// What it was at each time, the last of them after the end of all sessions.
    static func text(_ times: [Memory]) -> String {
        func list(_ figure: (Memory) -> Int) -> String { times.map { "\(figure($0))" }.joined(separator: ", ") }
        return
            "memory in KiB after 10 s, at the end and behind it: gateway \(list(\.gateway)); agents \(list(\.agents))"
    }
}

extension Fault {
    /// What it happens to: two faults of the same place do not go together.
    fileprivate func place(_ interface: Int) -> String {
        switch self {
        // With no address at all, a new connection is refused with or without sessions.
        case .interfaceDown, .addressChange: "interface"
        case .agentStopped, .agentKilled, .agentReplaced: "agent"
        case .gatewayStopped, .gatewayKilled, .gatewayReplaced, .bothKilled: "gateway"
        case .reset, .rebinding, .outerAddress, .forgetting: rawValue
        default: "path \(interface)"
        }
    }
}
