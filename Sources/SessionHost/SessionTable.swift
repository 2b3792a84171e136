public import Engine
public import SessionProtocol

/// A session as its process knows it, beside its driver.
public struct SessionEntry {
    public let driver: SessionDriver
    /// The program that asked for the session, where there is one.
    public let program: String?
    /// Kept alive here: a driver does not own its owner.
    let owner: any SessionOwner

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
    public var drivers: [SessionDriver] { entries.values.map(\.driver) }

    public var reports: [ProgramReport] {
        entries.values.map { ProgramReport(session: $0.driver.report, program: $0.program) }
    }
}

/// A session's report with the program that asked for it.
public struct ProgramReport: Sendable {
    public let session: SessionReport
    public let program: String?
}
