import NetworkLab

/// What the processes of a contender have used of the processors. One that is idle uses nothing, or next to nothing, also where another
/// contender has processes of the same name.
struct ProcessorUse {
    private let times: [Int32: (name: String, time: Duration)]

    init(of contender: Contender.Kind, at site: Site) {
        var times: [Int32: (name: String, time: Duration)] = [:]
        let names = contender.processes
        for host in [site.near, site.far, site.beyond] where !names.isEmpty {
            for (pid, use) in host.processorTimes() where names.contains(use.name) { times[pid] = use }
        }
        self.times = times
    }

    /// Seconds since another time, by the names of the processes.
    func seconds(since before: ProcessorUse) -> [String: Double] {
        var seconds: [String: Double] = [:]
        for (pid, use) in times {
            let spent = (use.time - (before.times[pid]?.time ?? .zero)) / .seconds(1)
            if spent > 0 { seconds[use.name, default: 0] += spent }
        }
        return seconds
    }
}
