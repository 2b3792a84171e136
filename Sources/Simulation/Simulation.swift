import SessionProtocol

/// Runs two endpoints of a session against a faulty network, in virtual time, everything from one seed.
///
/// First come faults, under which nothing wrong may happen; then the network heals, and the session must come to its
/// end. The same seed gives the same run, on every machine.
public enum Simulation {
    /// One run.
    ///
    /// - Parameters:
    ///   - canary: a mistake in the driver that the run is meant to find.
    /// - Throws: what was found, from a second run of the same seed that keeps its events.
    ///   - events: how many of the last events a finding has.
    public static func run(seed: UInt64, canary: Canary? = nil, events: Int = 40) throws(Finding) -> RunReport {
        let world = World(seed: seed, canary: canary)
        world.run()
        guard world.complaint == nil else {
            let again = World(seed: seed, canary: canary, events: events)
            again.run()
            throw Finding(
                seed: seed, canary: canary, complaint: again.complaint ?? "the second run finds nothing",
                scenario: "\(again.scenario)", events: again.trace.lines)
        }
        let statistics = world.statistics
        return RunReport(
            family: world.scenario.family, time: statistics.time, events: statistics.events, bytes: statistics.bytes,
            faults: statistics.faults, joins: statistics.joins, suspicions: statistics.suspicions,
            early: statistics.early,
            ending: world.opener.ending)
    }
}

/// A mistake that a driver could make, put into the simulated one to prove that the simulation sees it.
public enum Canary: String, CaseIterable, Sendable {
    /// Acknowledges bytes when they have arrived, not when the leg has taken them.
    case acknowledgesEarly
    /// Judges a link before it has read what has arrived on it.
    case blamesUnread
    /// Never looks at what a link's transport says.
    case neverExamines
    /// Throws away what came before the bytes that precede it.
    case losesEarlyBytes
    /// Stores an epoch when it has been sent, not before.
    case storesEpochLate
    /// Goes on where the dead process thought that it was, not where its leg is.
    case trustsTheDead
    /// Throws away what the leg has not taken, when a link is lost.
    case losesHeldBytes
    /// Ends the application's stream when a link ends, as a plain relay does.
    case endsStreamWithLink
}

/// What a run without a finding was like.
public struct RunReport: Sendable {
    public let family: Family
    /// Virtual time.
    public let time: Interval
    public let events: UInt64
    /// Bytes delivered to applications.
    public let bytes: UInt64
    /// How often each of ``Fault`` has struck.
    public let faults: [UInt64]
    /// Links that have joined after the first.
    public let joins: UInt64
    /// Links that were taken for dead while nobody had said so.
    public let suspicions: UInt64
    /// Bytes that came before those that precede them.
    public let early: UInt64
    /// How the opener's session ended.
    public let ending: Ending?

    public subscript(fault: Fault) -> UInt64 { faults[fault.rawValue] }
}

/// A run in which something wrong has happened.
public struct Finding: Error, CustomStringConvertible, Sendable {
    public let seed: UInt64
    public let canary: Canary?
    public let complaint: String
    /// Everything that the seed decides in advance.
    public let scenario: String
    /// The last events before.
    public let events: [String]

    public var description: String {
        """
        seed \(seed): \(complaint)
        \(scenario)
        \(events.joined(separator: "\n"))
        again with: usl-simulate --seed \(seed)\(canary.map { " --canary \($0.rawValue)" } ?? "")
        """
    }
}
