/// What a connection gets.
public enum Treatment: String, CaseIterable, Sendable {
    /// A session, if its peer has a gateway; else as `shim`.
    case session
    /// The application's own connection, on whichever path works.
    case shim
    /// The same, but to the asked address alone: only sources are tried.
    case shimSources = "shim-sources"
    /// What the application asked for, and nothing else.
    case direct
    /// Nothing: the application is told `ECONNREFUSED`.
    case refuse
}

/// How an unknown destination is asked whether it has a gateway.
public enum DetectionMode: String, CaseIterable, Sendable {
    /// Not at all: it is an ordinary peer.
    case off
    /// At the gateway port of its host.
    case port
    /// There, and in-band: by a connection to the destination itself, which a server for one connection only would take for
    /// that one.
    case probe
}

/// Whether the reverse name of an address leads to further addresses.
public enum ReverseLookup: String, CaseIterable, Sendable {
    case off
    /// Only if the name leads back to the address.
    case confirmed
    case unconfirmed
}

/// How other paths are tried where the first does not work.
public struct AttemptLimits: Equatable, Sendable {
    /// From one attempt to the next. RFC 8305, section 5, recommends 250 ms; and from 100 ms to 2 s.
    public var delay = Duration.milliseconds(250)
    /// After this time no further attempt begins, and what is under way is given up but for the first.
    public var budget = Duration.seconds(30)
    /// Attempts under way at a time that may yet be answered: the silent ones of more than a second do not count.
    public var atOnce = 6

    public static let delayRange = Duration.milliseconds(100)...Duration.seconds(2)
    public static let budgetRange = Duration.seconds(1)...Duration.seconds(600)
    public static let atOnceRange = 1...32

    public init() {}
}
