/// A value as JSON (RFC 8259).
indirect enum JSON {
    case text(String)
    case number(Double)
    case list([JSON])
    /// In this order.
    case object([(String, JSON)])

    /// With line breaks, for people and diff.
    func written(indentation: String = "") -> String {
        let deeper = indentation + "  "
        switch self {
        case .text(let text): return Self.quoted(text)
        case .number(let number): return Self.digits(number)
        case .list(let items):
            let isFlat = items.allSatisfy { item in
                switch item {
                case .text, .number: true
                case .list, .object: false
                }
            }
            if isFlat { return "[" + items.map { $0.written() }.joined(separator: ", ") + "]" }
            let lines = items.map { deeper + $0.written(indentation: deeper) }
            return "[\n" + lines.joined(separator: ",\n") + "\n" + indentation + "]"
        case .object(let fields):
            if fields.isEmpty { return "{}" }
            let lines = fields.map { deeper + Self.quoted($0) + ": " + $1.written(indentation: deeper) }
            return "{\n" + lines.joined(separator: ",\n") + "\n" + indentation + "}"
        }
    }

    /// What is no number has none in JSON.
    private static func digits(_ number: Double) -> String {
        guard number.isFinite else { return "null" }
        if number == number.rounded(), abs(number) < 0x1p53 { return String(Int(number)) }
        return "\(number)"
    }

    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
