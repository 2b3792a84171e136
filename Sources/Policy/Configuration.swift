/// What `usl.toml` says, in all files together.
///
/// Of limits, later files override earlier ones, key by key. Of rules, those of later files stand in front of those of earlier
/// ones.
public struct Configuration: Equatable, Sendable {
    public private(set) var limits = Limits()
    /// In the order in which they are tried.
    public private(set) var rules: [Rule] = []

    public init() {}

    /// Takes over what a file says. With any mistake in it, nothing of it applies.
    ///
    /// - Parameter file: its path, for messages.
    public mutating func apply(_ text: [UInt8], file: String) throws(ConfigurationError) {
        let document: TOMLTable
        do {
            document = try TOMLParser.parse(text)
        } catch {
            throw ConfigurationError(mistakes: [.init(file: file, line: error.line, text: error.text)])
        }
        var changed = self
        var found: [Rule] = []
        var root = SectionReader(document, file: file)
        root.section("limits") { $0.limits(&changed.limits) }
        root.sections("rule") { rule, line in
            found.append(Rule(&rule, at: RuleOrigin(file: file, line: line)))
        }
        let mistakes = root.finish()
        guard mistakes.isEmpty else { throw ConfigurationError(mistakes: mistakes) }
        changed.rules = found + rules
        self = changed
    }
}

extension SectionReader {
    fileprivate mutating func limits(_ limits: inout Limits) {
        value("suspend", in: Limits.suspendRange, DurationText.self) { limits.suspend = $0 }
        value("memory", in: Limits.memoryRange, SizeText.self) { limits.memory = $0 }
        value("sessions", in: Limits.sessionsRange, CountText.self) { limits.sessions = $0 }
        strangers(&limits.strangers)
    }

    private mutating func strangers(_ limits: inout StrangerLimits) {
        let counts = StrangerLimits.handshakesRange
        value("handshakes", in: counts, CountText.self) { limits.handshakes = $0 }
        value("handshakes-per-address", in: counts, CountText.self) { limits.handshakesPerAddress = $0 }
        value("handshake-time", in: StrangerLimits.handshakeTimeRange, DurationText.self) { limits.handshakeTime = $0 }
        value("handshake-bytes", in: StrangerLimits.handshakeBytesRange, SizeText.self) { limits.handshakeBytes = $0 }
        value("opening", in: counts, CountText.self) { limits.opening = $0 }
        value("opening-per-address", in: counts, CountText.self) { limits.openingPerAddress = $0 }
    }
}

/// What is wrong with a configuration, and where.
public struct ConfigurationError: Error, Equatable, CustomStringConvertible {
    public struct Mistake: Equatable, Sendable {
        public let file: String
        public let line: Int
        public let text: String
    }

    /// In the order of the file.
    public let mistakes: [Mistake]

    /// A line for each mistake.
    public var description: String {
        mistakes.map { "\($0.file):\($0.line): \($0.text)" }.joined(separator: "\n")
    }
}
