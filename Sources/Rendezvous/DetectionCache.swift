/// What is known of a destination: whether a gateway serves it. Remembered for a while, so that an ordinary peer sees one
/// SYN to the gateway port in that time and no more.
public struct DetectionCache<Destination: Hashable & Sendable>: Sendable {
    public enum Finding: Equatable, Sendable {
        /// A gateway answered. From then on the destination never silently gets plain TCP.
        case gateway
        /// Refused, silent, or something that is no gateway.
        case ordinary
    }

    /// How long a finding holds, in nanoseconds: 10 minutes.
    public static var lifetime: UInt64 { 600_000_000_000 }
    /// Findings kept; a scan through a program must not fill memory.
    static var maximum: Int { 4096 }

    private var findings: [Destination: (finding: Finding, until: UInt64)] = [:]

    public init() {}

    /// - Parameter now: nanoseconds on the driver's clock.
    public func finding(for destination: Destination, now: UInt64) -> Finding? {
        guard let entry = findings[destination], entry.until > now else { return nil }
        return entry.finding
    }

    /// What was found last, however long ago: a gateway that is gone is worth a word.
    public func lastFinding(for destination: Destination) -> Finding? { findings[destination]?.finding }

    public mutating func note(_ finding: Finding, for destination: Destination, now: UInt64) {
        if findings.count >= Self.maximum { findings = findings.filter { $0.value.until > now } }
        if findings.count >= Self.maximum { findings.removeAll(keepingCapacity: true) }
        findings[destination] = (finding, now + Self.lifetime)
    }
}
