import CLinux
import Kernel
import Testing

@testable import Policy

@Suite("Configuration")
struct ConfigurationTests {
    private func configuration(_ texts: String...) throws -> Configuration {
        var configuration = Configuration()
        for text in texts { try configuration.apply(Array(text.utf8), file: "usl.toml") }
        return configuration
    }

    private func mistakes(_ text: String) -> [String] {
        let error = #expect(throws: ConfigurationError.self) { try configuration(text) }
        return error?.description.split(separator: "\n").map(String.init) ?? []
    }

    @Test("later files override earlier ones key by key")
    func files() throws {
        let limits = try configuration(
            "", "[limits]\nsuspend = \"1h\"\nmemory = \"16MiB\"", "limits = { memory = 3000000, sessions = 7 }"
        ).limits
        #expect(limits.suspend == .seconds(3600) && limits.memory == 3_000_000 && limits.sessions == 7)
    }

    @Test("mistakes are told with file, line and the nearest word, all at once")
    func whatIsWrong() {
        #expect(
            mistakes("[limits]\nsuspent = \"1h\"\n\n[limit]\n[rules]\nx=1\n") == [
                "usl.toml:2: unknown key 'limits.suspent'; did you mean 'suspend'?",
                "usl.toml:4: unknown section 'limit'; did you mean 'limits'?",
                "usl.toml:5: unknown section 'rules'; did you mean 'rule'?",
            ])
        #expect(
            mistakes("[limits]\nsuspend = 24\nmemory = \"1 GB\"\nsessions = \"5\"") == [
                #"usl.toml:2: 'limits.suspend' must be a duration, such as "250ms", "30s", "15m", "24h" or "7d", not 24"#,
                #"usl.toml:3: 'limits.memory' must be a size, such as "64KiB", "16MiB" or "2GiB", not "1 GB""#,
                #"usl.toml:4: 'limits.sessions' must be a whole number, not "5""#,
            ])
        #expect(
            mistakes("[limits]\nsuspend = \"250ms\"\nmemory = 5\nsessions = 0") == [
                "usl.toml:2: 'limits.suspend' must be between 1s and 3650d",
                "usl.toml:3: 'limits.memory' must be between 1MiB and 64GiB",
                "usl.toml:4: 'limits.sessions' must be between 1 and 1000000",
            ])
        #expect(mistakes("limits = 5") == ["usl.toml:1: 'limits' is a section: [limits]; this is an integer"])
        #expect(mistakes("\n[limits]\nsuspend = 1h") == ["usl.toml:3: '1h' is no value; a text stands in quotes"])
        #expect(mistakes("\"\\u001b[2J\" = 1") == ["usl.toml:1: unknown key '?[2J'"])
    }

    @Test("what strangers may do is a matter of configuration")
    func strangers() throws {
        let limits = try configuration(
            """
            [limits]
            handshakes = 1
            handshakes-per-address = 2
            handshake-time = "3s"
            handshake-bytes = "4KiB"
            opening = 5
            opening-per-address = 6
            """
        ).limits.strangers
        #expect(limits.handshakes == 1 && limits.handshakesPerAddress == 2 && limits.handshakeTime == .seconds(3))
        #expect(limits.handshakeBytes == 4096 && limits.opening == 5 && limits.openingPerAddress == 6)
        #expect(
            mistakes("[limits]\nhandshakes = 0\nhandshake-time = \"2m\"\nhandshake-bytes = \"17KiB\"") == [
                "usl.toml:2: 'limits.handshakes' must be between 1 and 1000000",
                "usl.toml:3: 'limits.handshake-time' must be between 100ms and 1m",
                "usl.toml:4: 'limits.handshake-bytes' must be between 512B and 16KiB",
            ])
    }

    @Test("with a mistake, nothing of a file applies")
    func halves() throws {
        var configuration = try configuration("[limits]\nsessions = 7")
        #expect(throws: ConfigurationError.self) {
            try configuration.apply(Array("[limits]\nsessions = 8\nmemory = 1".utf8), file: "x")
        }
        #expect(configuration.limits.sessions == 7)
    }

    @Test("durations and sizes have units")
    func quantities() {
        #expect(DurationText.parse("250ms") == .milliseconds(250))
        #expect(DurationText.parse("0s") == .zero)
        #expect(DurationText.parse("15m") == .seconds(900))
        #expect(DurationText.parse("24h") == .seconds(86_400))
        #expect(DurationText.parse("7d") == .seconds(604_800))
        for text in ["", "5", "h", "1.5h", "-1s", "1w", "1 s", "99999999999999999999s", "9999999999999999d", "١s"] {
            #expect(DurationText.parse(text) == nil, "\(text)")
        }
        for text in ["250ms", "30s", "15m", "23h", "2d", "3601s"] {
            #expect(DurationText.parse(text).map(DurationText.text) == text)
        }
        #expect(SizeText.parse("64KiB") == 65_536)
        #expect(SizeText.parse("3B") == 3)
        for text in ["", "1", "KiB", "1kb", "1 KiB", "-1B", "9999999999GiB"] {
            #expect(SizeText.parse(text) == nil, "\(text)")
        }
        for text in ["1GiB", "1025MiB", "3KiB", "5B"] { #expect(SizeText.parse(text).map(SizeText.text) == text) }
    }

    @Test("the nearest word is offered only if it is near")
    func spelling() {
        let words = ["suspend", "memory", "sessions"]
        #expect(Spelling.nearest(to: "sesions", among: words) == "sessions")
        #expect(Spelling.nearest(to: "memroy", among: words) == "memory")
        #expect(Spelling.nearest(to: "Suspend", among: words) == "suspend")
        #expect(Spelling.nearest(to: "timeout", among: words) == nil)
        #expect(Spelling.nearest(to: "", among: []) == nil)
        #expect(Spelling.distance(Array("abcd".utf8), Array("acbd".utf8)) == 1)
    }

    @Test("the example that is shipped says what holds anyway, and shows every key")
    func example() throws {
        let path = #filePath.split(separator: "/").dropLast(3).map { "/" + $0 }.joined() + "/packaging/usl.toml"
        let text = try FileContent.read(path, limit: 1 << 20)
        var configuration = Configuration()
        try configuration.apply(text, file: path)
        #expect(configuration == Configuration())
        // With the comment signs taken away from the keys, limits are the same, and every key is there.
        let uncommented = String(decoding: text, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
            .map { line in line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line }
            .joined(separator: "\n")
        try configuration.apply(Array(uncommented.utf8), file: path)
        #expect(configuration.limits == Configuration().limits)
        #expect(configuration.rules.map(\.verdict.treatment) == [.session, .shim, .shim, .refuse])
        let document = try TOMLParser.parse(Array(uncommented.utf8))
        guard case .table(let limits)? = document["limits"]?.content,
            case .array(let rules)? = document["rule"]?.content
        else { return #expect(Bool(false), "no [limits] or no [[rule]]") }
        #expect(
            limits.entries.map(\.key.name) == [
                "suspend", "memory", "sessions", "handshakes", "handshakes-per-address", "handshake-time",
                "handshake-bytes", "opening", "opening-per-address",
            ])
        let keys = Set(
            rules.flatMap { rule -> [String] in
                if case .table(let table) = rule.content { table.entries.map(\.key.name) } else { [] }
            })
        #expect(
            keys == [
                "program", "user", "protocol", "destination", "port", "local", "treatment", "gateway", "detection",
                "pin",
                "links", "sources", "transport", "suspend", "attempts", "addresses", "reverse-lookup",
                "private-addresses",
            ])
    }
}
