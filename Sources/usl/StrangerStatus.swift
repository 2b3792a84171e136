/// What those hold of a gateway who have proven nothing, as `usl status` shows it.
struct StrangerStatus {
    private let process: Int32
    private let value: JSONValue

    init(process: Int32, _ value: JSONValue) {
        self.process = process
        self.value = value
    }

    var json: JSONValue {
        guard case .object(let members) = value else { return value }
        return .object([.init(name: "process", value: .number("\(process)"))] + members)
    }

    /// One line for people; nil when there is nothing to say.
    var line: String? {
        func share(_ name: String, _ what: String) -> String? {
            guard let now = value[name]?["now"]?.plainText, now != "0" else { return nil }
            return "\(now) of at most \(value[name]?["limit"]?.plainText ?? "-") \(what)"
        }
        var turnedAway: [String] = []
        if case .object(let members)? = value["turned_away"] {
            turnedAway = members.filter { $0.value != .number("0") }.map { "\($0.value.plainText) \($0.name)" }
        }
        let parts = [
            share("handshakes", "connections without a session"), share("opening", "sessions being opened"),
            turnedAway.isEmpty ? nil : "turned away: " + turnedAway.joined(separator: ", "),
        ].compactMap { $0 }
        return parts.isEmpty ? nil : "gateway \(process): " + parts.joined(separator: "; ")
    }
}
