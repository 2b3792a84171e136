import Testing

@testable import Policy

@Suite("TOML")
struct TOMLParserTests {
    /// A document in a form that can be compared: tables sorted by name, every string in quotes.
    private func read(_ text: String) throws -> String { shown(try TOMLParser.parse(Array(text.utf8))) }

    private func shown(_ table: TOMLTable) -> String {
        "{" + table.entries.map { "\($0.key.name.debugDescription):\(shown($0.value))" }.sorted().joined(separator: ",")
            + "}"
    }

    private func shown(_ value: TOMLValue) -> String {
        switch value.content {
        case .string(let text): text.debugDescription
        case .integer(let number): "\(number)"
        case .float(let number): "\(number)"
        case .boolean(let value): "\(value)"
        case .dateTime(let text): text
        case .array(let elements): "[" + elements.map(shown).joined(separator: ",") + "]"
        case .table(let table): shown(table)
        }
    }

    @Test(
        "values",
        arguments: [
            (#""a\tb\\\"\u00e9\U0001F600""#, #""a\tb\\\"é😀""#), (#"'C:\x'"#, #""C:\\x""#), (#""""#, #""""#),
            ("''", #""""#),
            ("\"\"\"\na\n b\"\"\"", #""a\n b""#), ("\"\"\"a\\\n\n   b\"\"\"", #""ab""#), ("\"\"\"\"\"\"\"", #""\"""#),
            ("\"\"\"a\"\"\"\"\"", #""a\"\"""#), ("'''\r\n'a' ''b'''''", #""\'a\' \'\'b\'\'""#),
            ("\"\"\"a\\  \n b\"\"\"", #""ab""#),
            ("0", "0"), ("+99", "99"), ("-0", "0"), ("1_000", "1000"), ("0xDEAD_beef", "3735928559"), ("0o755", "493"),
            ("0b1101", "13"), ("-9223372036854775808", "-9223372036854775808"),
            ("3.25", "3.25"), ("-1e3", "-1000.0"), ("1_0.5E-1", "1.05"), ("inf", "inf"), ("-inf", "-inf"),
            ("+nan", "nan"),
            ("true", "true"), ("false", "false"),
            ("1979-05-27T07:32:00Z", "1979-05-27T07:32:00Z"),
            ("1979-05-27 07:32:00.999-07:00", "1979-05-27 07:32:00.999-07:00"),
            ("2024-02-29", "2024-02-29"), ("23:59:60", "23:59:60"),
            ("[]", "[]"), ("[1, 'a', [2,], # c\n {b=3}\n]", #"[1,"a",[2],{"b":3}]"#), ("{ }", "{}"),
            ("{ a = 1, b.c = 2, b.d = 3 }", #"{"a":1,"b":{"c":2,"d":3}}"#),
        ])
    func values(text: String, expected: String) throws {
        #expect(try read("x = \(text) # comment\n") == "{\"x\":\(expected)}")
        #expect(try read("x = \(text)") == "{\"x\":\(expected)}")
    }

    @Test(
        "what is no value",
        arguments: [
            "", "a", "True", "007", "+0x1", "1__0", "_1", "1_", "0xg", "0b2", "9223372036854775808", "1.", ".5", "1.e5",
            "1e", "1e5.5", "++1", "Inf", "\"a", "'a", "\"a\nb\"", "\"\\x\"", "\"\\ud800\"", "\"\\u12\"", "\"\u{7f}\"",
            "\"\"\"a", "'''a", "\"\"\"a\"\"\"\"\"\"", "2026-02-29", "2026-13-01", "2026-01-32", "24:00:00", "10:60:00",
            "10:00", "2026-01-31T", "2026-01-31T10:00:00+24:00", "2026-01-31T10:00:00.Z", "[1", "[1 2]", "[,]",
            "[1,,2]",
            "{a=1", "{a=1,}", "{a=1 b=2}", "{a=1,\nb=2}", "{a=1, a=2}", "{a={}, a.b=1}", "1 2", "1 \u{1}", "1 # \u{1}",
            "1\r2",
        ])
    func noValues(text: String) {
        #expect(throws: TOMLError.self) { try read("x = \(text)\n") }
    }

    @Test(
        "tables",
        arguments: [
            ("a.'b.c'.\"\" = 1\na . d = 2", #"{"a":{"b.c":{"":1},"d":2}}"#),
            ("[a]\nx=1\n[a.b]\ny=2\n[c]", #"{"a":{"b":{"y":2},"x":1},"c":{}}"#),
            ("[a.b.c]\n[a]\nx=1\n[a.b]\ny=2", #"{"a":{"b":{"c":{},"y":2},"x":1}}"#),
            ("[[a]]\nx=1\n[a.b]\ny=2\n[[a]]\n[[a.c]]\n[[a.c]]", #"{"a":[{"b":{"y":2},"x":1},{"c":[{},{}]}]}"#),
            ("[f]\na.b=1\na.c.d=2\n[f.a.t]\nx=3", #"{"f":{"a":{"b":1,"c":{"d":2},"t":{"x":3}}}}"#),
            ("[ a . 'b' ]\r\n-_1 = 1\r\n", #"{"a":{"b":{"-_1":1}}}"#),
            ("1.2 = 3", #"{"1":{"2":3}}"#),
        ])
    func tables(text: String, expected: String) throws {
        #expect(try read(text) == expected)
    }

    @Test("keys that Unicode holds equal are two")
    func canonicallyEqualKeys() throws {
        let table = try TOMLParser.parse(Array("'\u{e9}'=1\n'e\u{301}'=2".utf8))
        #expect(table.entries.count == 2)
    }

    @Test(
        "what may not be defined twice, and where that is",
        arguments: [
            ("a=1\n\na=2", 3), ("[a]\n[a]", 2), ("a.b=1\n[a]", 2), ("[a]\nb.c=1\n[a.b]", 3), ("[a.b]\n[a]\nb.c=1", 3),
            ("a={}\n[a]", 2), ("a={}\na.b=1", 2), ("a=[{}]\n[[a]]", 2), ("a=[{}]\n[a.b]", 2), ("[a]\n[[a]]", 2),
            ("[[a]]\n[a]", 2), ("a=1\na.b=2", 2), ("a=1\n[a.b]", 2), ("a.b=1\n[x]\n[a.b]", 3),
            ("[[a.b]]\n[a]\nb.c=1", 3),
            ("[]", 1), ("[a", 1), ("[[a]", 1), ("[a.]", 1), ("[a] b=1", 1), ("a", 1), ("a.=1", 1), ("= 1", 1),
            ("é=1", 1),
            ("\"\"\"a\"\"\" = 1", 1), ("x = 1\ny = \"\"\"\n\n", 2),
        ])
    func mistakes(text: String, line: Int) {
        let error = #expect(throws: TOMLError.self) { try read(text) }
        #expect(error?.line == line, "\(error?.text ?? "")")
    }

    @Test("lines of keys and values are told, whatever stands before them")
    func lines() throws {
        let table = try TOMLParser.parse(Array("# c\r\na = '''\n\n'''\n\nb = [\n1,\n2]\n".utf8))
        #expect(table["a"]?.line == 2)
        #expect(table["b"]?.line == 6)
        guard case .array(let elements)? = table["b"]?.content else { Issue.record("no array"); return }
        #expect(elements.map(\.line) == [7, 8])
    }

    @Test("what is no text, too deep or too long is refused, and quickly")
    func bounds() {
        func line(_ text: [UInt8]) -> Int? { #expect(throws: TOMLError.self) { try TOMLParser.parse(text) }?.line }
        #expect(line(Array("a=1\nb='".utf8) + [0xff, 0x27]) == 2)
        #expect(line(Array("a=".utf8) + Array(repeating: UInt8(ascii: "["), count: 100_000)) == 1)
        #expect(line(Array((String(repeating: "a.", count: 100_000) + "a=1").utf8)) == 1)
        #expect(line(Array(repeating: UInt8(ascii: "\n"), count: TOMLParser.maximumSize + 1)) == 1)
        #expect(line(Array(String(repeating: "[[a]]\n", count: 100_000).utf8) + Array("[a]".utf8)) == 100_001)
    }
}
