/// What `usl status --json` tells, as far as the lab reads it.
public enum SessionStatus {
    /// How many links have joined after the first, over all sessions.
    public static func reconnects(in text: String) -> Int {
        numbers(after: "\"reconnects\"", in: text).reduce(0, +)
    }

    /// How many bytes there are in the replay buffers of all sessions.
    public static func replayBytes(in text: String) -> Int { numbers(after: "\"replay\"", in: text).reduce(0, +) }

    /// How many sessions there are.
    public static func count(in text: String) -> Int { numbers(after: "\"reconnects\"", in: text).count }

    private static func numbers(after key: String, in text: String) -> [Int] {
        var text = Substring(text)
        var numbers: [Int] = []
        while let range = text.firstRange(of: key) {
            text = text[range.upperBound...].drop { !$0.isNumber }
            numbers.append(Int(text.prefix(while: \.isNumber)) ?? 0)
        }
        return numbers
    }
}
