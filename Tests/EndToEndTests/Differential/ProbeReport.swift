import Testing

/// What a probe has said: cases, and the steps of each.
struct ProbeReport {
    /// A call, and what came of it, field by field.
    struct Step: Equatable {
        let call: String
        let fields: [Field]
    }

    struct Field: Equatable {
        let key: String
        let value: String
    }

    /// A field that is not the same in two reports.
    struct Difference: CustomStringConvertible {
        let step: Int
        let call: String
        /// "steps" if the rest of the steps are others.
        let key: String
        let bare: String
        let found: String

        var description: String { "step \(step), \(call) \(key): \(bare) → \(found)" }
    }

    /// In the order in which the probe has them.
    private(set) var cases: [String] = []
    private(set) var steps: [String: [Step]] = [:]

    /// Reads lines of "case NAME", and below them "CALL KEY=VALUE …".
    init(_ text: String) {
        for line in text.split(separator: "\n") {
            if line.hasPrefix("case ") {
                cases.append(String(line.dropFirst(5)))
                steps[cases.last!] = []
            } else if let name = cases.last {
                steps[name]?.append(Step(line))
            }
        }
    }

    /// Puts another run's result of a case into the place of what is here.
    mutating func replace(_ name: String, from other: ProbeReport) { steps[name] = other.steps[name] }

    /// Where a case went otherwise than in another report.
    func differences(_ name: String, from bare: ProbeReport) -> [Difference] {
        let (expected, found) = (bare.steps[name] ?? [], steps[name] ?? [])
        var differences: [Difference] = []
        for (index, pair) in zip(expected, found).enumerated() {
            let (one, other) = pair
            guard one.call == other.call, one.fields.map(\.key) == other.fields.map(\.key) else {
                return differences + [Self.rest(index, expected, found)]
            }
            for (expected, found) in zip(one.fields, other.fields) where expected != found {
                differences.append(
                    Difference(
                        step: index + 1, call: one.call, key: expected.key, bare: expected.value, found: found.value))
            }
        }
        if expected.count != found.count {
            differences.append(Self.rest(min(expected.count, found.count), expected, found))
        }
        return differences
    }

    private static func rest(_ index: Int, _ expected: [Step], _ found: [Step]) -> Difference {
        func text(_ steps: [Step]) -> String { steps.count > index ? steps[index].call : "the end" }
        return Difference(step: index + 1, call: "", key: "steps", bare: text(expected), found: text(found))
    }
}

extension ProbeReport.Step {
    fileprivate init(_ line: Substring) {
        var words = line.split(separator: " ")
        call = words.isEmpty ? "" : String(words.removeFirst())
        // A value may have spaces, as lists do in Python.
        var fields: [ProbeReport.Field] = []
        for word in words {
            if let equals = word.firstIndex(of: "=") {
                fields.append(
                    ProbeReport.Field(key: String(word[..<equals]), value: String(word[word.index(after: equals)...])))
            } else if let last = fields.popLast() {
                fields.append(ProbeReport.Field(key: last.key, value: last.value + " " + word))
            }
        }
        self.fields = fields
    }
}
