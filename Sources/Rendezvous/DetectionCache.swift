/// What is known of destinations, so that an ordinary peer sees one SYN to the gateway port in ten minutes, for each port of its that
/// is wanted, and no more. A gateway
/// is remembered beyond its time: one that is gone is worth a word.
public struct DetectionCache: Equatable, Sendable {
    /// Findings kept; a scan through a program must not fill memory, or the disk.
    public static let maximum = 512

    private var findings: [DetectionQuestion: DetectionFinding] = [:]

    public init() {}

    public var count: Int { findings.count }

    /// What holds now.
    public func finding(for question: DetectionQuestion, now: UInt64) -> DetectionFinding? {
        findings[question].flatMap { $0.holds(now) ? $0 : nil }
    }

    /// What was found last, however long ago.
    public func lastFinding(for question: DetectionQuestion) -> DetectionFinding? { findings[question] }

    public mutating func note(_ finding: DetectionFinding, for question: DetectionQuestion, now: UInt64) {
        findings[question] = finding
        prune(now)
    }

    /// A gateway did not do what it was found for: whatever led to it is to be asked anew.
    ///
    /// - Returns: the questions that were answered so.
    public mutating func expire(gateway: String, now: UInt64) -> [DetectionQuestion] {
        let questions = findings.filter { $0.value.gateways.contains(gateway) && $0.value.holds(now) }.map(\.key)
        for question in questions { findings[question]?.expire(now) }
        return questions
    }

    /// What was found does not help: it is to be asked anew.
    ///
    /// - Returns: whether something held.
    public mutating func expire(_ question: DetectionQuestion, now: UInt64) -> Bool {
        guard findings[question]?.holds(now) == true else { return false }
        findings[question]?.expire(now)
        return true
    }

    /// Takes over what another has found later.
    public mutating func merge(_ other: DetectionCache, now: UInt64) {
        for (question, finding) in other.findings where !isNewer(findings[question], than: finding, now) {
            findings[question] = finding
        }
        prune(now)
    }

    private func isNewer(_ mine: DetectionFinding?, than theirs: DetectionFinding, _ now: UInt64) -> Bool {
        guard let mine else { return false }
        if mine.holds(now) != theirs.holds(now) { return mine.holds(now) }
        return mine.until >= theirs.until
    }

    /// Drops what holds no longer and was no gateway, which is of no use.
    public mutating func compact(_ now: UInt64) {
        findings = findings.filter { $0.value.holds(now) || !$0.value.gateways.isEmpty }
    }

    /// Makes room if need be; after that, what is oldest goes first.
    private mutating func prune(_ now: UInt64) {
        guard findings.count > Self.maximum else { return }
        compact(now)
        guard findings.count > Self.maximum else { return }
        let kept = findings.sorted { ($0.value.until, $0.key.place) > ($1.value.until, $1.key.place) }
            .prefix(Self.maximum / 4 * 3)
        findings = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
    }
}

// MARK: - Text

extension DetectionCache {
    private static let heading = "usl detections 1"

    /// A line for each finding: `WAY SECURITY PLACE UNTIL GATEWAY...`.
    public var text: String {
        var lines = [Self.heading]
        for (question, finding) in findings.sorted(by: { $0.value.until > $1.value.until }) {
            let words = [question.way.rawValue, question.isPlain ? "plain" : "tls", question.place, "\(finding.until)"]
            lines.append((words + finding.gateways).joined(separator: " "))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// nil if it is not such a text, whole: a cache that is damaged is as good as none.
    public init?(text: [UInt8]) {
        guard text.last == UInt8(ascii: "\n") else { return nil }
        let lines = text.split(separator: UInt8(ascii: "\n"))
        guard let first = lines.first, first.elementsEqual(Self.heading.utf8), lines.count <= Self.maximum + 1 else {
            return nil
        }
        for line in lines.dropFirst() {
            let words = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            guard words.count >= 4, words.allSatisfy({ !$0.isEmpty }),
                let way = DetectionQuestion.Way(rawValue: words[0]),
                words[1] == "plain" || words[1] == "tls", let until = UInt64(words[3])
            else { return nil }
            let question = DetectionQuestion(way, at: words[2], isPlain: words[1] == "plain")
            let finding = DetectionFinding(gateways: Array(words[4...]), until: until)
            guard findings.updateValue(finding, forKey: question) == nil else { return nil }
        }
    }
}
