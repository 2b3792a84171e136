public import Engine
public import SessionProtocol

/// A session as its process knows it, beside its driver.
public struct SessionEntry {
    public let driver: SessionDriver
    /// The program that asked for the session, where there is one.
    public let program: String?
    /// Kept alive here: a driver does not own its owner.
    let owner: any SessionOwner
    /// Set when this process gives it up.
    fileprivate(set) var surrender: Surrender?

    public init(driver: SessionDriver, program: String?, owner: any SessionOwner) {
        self.driver = driver
        self.program = program
        self.owner = owner
    }
}

/// The sessions of one loop.
public final class SessionTable {
    private var entries: [SessionID: SessionEntry] = [:]

    public init() {}

    public func add(_ entry: SessionEntry) { entries[entry.driver.session.id] = entry }
    public func remove(_ id: SessionID) { entries[id] = nil }
    public subscript(id: SessionID) -> SessionDriver? { entries[id]?.driver }
    /// Why this process has given a session up, if it has.
    public func surrender(of id: SessionID) -> Surrender? { entries[id]?.surrender }

    /// Gives a session up; both applications see a reset.
    public func giveUp(_ id: SessionID, because surrender: Surrender) {
        guard let driver = entries[id]?.driver, !driver.session.isOver else { return }
        entries[id]?.surrender = surrender
        driver.drop(saying: surrender.reason)
    }

    /// Suspended sessions, the longest first.
    func longestSuspended(atMost count: Int) -> [(id: SessionID, since: Instant)] {
        let suspended = entries.compactMap { id, entry in entry.driver.suspendedSince.map { (id: id, since: $0) } }
        return Array(suspended.sorted { $0.since < $1.since }.prefix(count))
    }

    public var drivers: [SessionDriver] { entries.values.map(\.driver) }

    public var reports: [ProgramReport] {
        entries.values.map { ProgramReport(session: $0.driver.report, program: $0.program) }
    }

    /// One session, with what has happened to it lately.
    public func detail(of id: SessionID) -> ProgramReport? {
        entries[id].map {
            ProgramReport(session: $0.driver.report, program: $0.program, events: $0.driver.recentEvents)
        }
    }
}

/// A session's report with the program that asked for it.
public struct ProgramReport: Sendable {
    public let session: SessionReport
    public let program: String?
    /// What has happened to it lately, where that was asked for.
    public var events: [SessionReport.RecentEvent]?
}
