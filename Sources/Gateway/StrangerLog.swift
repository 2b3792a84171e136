import Kernel
import Logging
import SessionProtocol

/// Lines about connections that came to nothing. Nobody who can connect shall be able to fill a log: of one address, each
/// kind of trouble is told once a minute, with how often it came meanwhile; and of all addresses together, some lines a minute.
struct StrangerLog {
    private static let period = Interval.seconds(60)
    /// Kinds of trouble to remember. Beyond that all is forgotten, and told again.
    private static let capacity = 4096
    /// Lines in a period, from however many addresses.
    private static let maximumLines = 60

    private struct Trouble: Hashable {
        let host: SocketAddress.Host
        let text: String
    }

    private struct Record {
        let told: Instant
        var untold = 0
    }

    private let logger: Logger
    private var records: [Trouble: Record] = [:]
    private var periodBegan: Instant?
    private var lines = 0

    init(_ logger: Logger) { self.logger = logger }

    mutating func note(_ text: String, from remote: SocketAddress, _ now: Instant) {
        let trouble = Trouble(host: remote.host, text: text)
        if let record = records[trouble], now - record.told < StrangerLog.period {
            records[trouble]?.untold += 1
            return
        }
        let untold = records[trouble]?.untold ?? 0
        guard mayWrite(now) else { return }
        if records.count >= StrangerLog.capacity { records = [:] }
        records[trouble] = Record(told: now)
        logger.notice("\(remote): \(text)\(untold == 0 ? "" : "; \(untold) more like this since the last such line")")
    }

    private mutating func mayWrite(_ now: Instant) -> Bool {
        if periodBegan.map({ now - $0 >= StrangerLog.period }) != false { (periodBegan, lines) = (now, 0) }
        lines += 1
        if lines == StrangerLog.maximumLines {
            logger.notice("more strangers than lines for them; usl status counts them all")
        }
        return lines < StrangerLog.maximumLines
    }
}
