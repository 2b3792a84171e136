import Kernel
import Logging

/// Writes log messages as USL writes everything to people: one line each, on standard error.
struct LineLogHandler: LogHandler {
    var metadata = Logger.Metadata()
    var logLevel = Logger.Level.info

    init(label: String) {}

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let words = [event.message.description] + all.map { "\($0.key)=\($0.value)" }
        Diagnostics.report(words.joined(separator: " "))
    }
}
