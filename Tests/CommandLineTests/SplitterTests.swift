import Testing

@testable import usl

@Suite("Words of the command line")
struct SplitterTests {
    private func split(_ words: String...) throws -> CommandLineSplitter.Parts {
        try USLCommand.splitter.split(words.map { Array($0.utf8) })
    }

    private func run(_ options: [String], _ command: [String]) -> CommandLineSplitter.Parts {
        .run(options: options, command: command.map { Array($0.utf8) })
    }

    @Test("a word that is no subcommand is a program, and the rest is the program's")
    func program() throws {
        #expect(try split("ssh", "-v", "db1") == run([], ["ssh", "-v", "db1"]))
        #expect(try split("run", "ssh", "--plain") == run([], ["ssh", "--plain"]))
        #expect(try split("ssh", "--", "status") == run([], ["ssh", "--", "status"]))
        #expect(try split("/bin/status") == run([], ["/bin/status"]))
    }

    @Test("options come first, with their values")
    func options() throws {
        #expect(
            try split("--plain", "--gateway", "edge", "-v", "ssh", "db1")
                == run(
                    ["--plain", "--gateway", "edge", "-v"], ["ssh", "db1"]))
        #expect(try split("--gateway=edge", "ssh") == run(["--gateway=edge"], ["ssh"]))
        #expect(try split("run", "--suspend", "1h", "ssh") == run(["--suspend", "1h"], ["ssh"]))
        // A value may look like anything.
        #expect(try split("--gateway", "-v", "ssh") == run(["--gateway", "-v"], ["ssh"]))
        #expect(try split("--gateway", "status", "ssh") == run(["--gateway", "status"], ["ssh"]))
    }

    @Test("two dashes end the options and are dropped")
    func dashes() throws {
        #expect(try split("run", "--", "status") == run([], ["status"]))
        #expect(try split("--", "status") == run([], ["status"]))
        #expect(try split("-q", "--", "--odd", "--") == run(["-q"], ["--odd", "--"]))
        #expect(try split("run", "run") == run([], ["run"]))
        #expect(try split("--plain", "--") == run(["--plain"], []))
    }

    @Test("subcommands get their words as they are")
    func subcommands() throws {
        #expect(try split("status", "--json") == .subcommand(["status", "--json"]))
        #expect(try split("gateway", "--allow", "--", "x") == .subcommand(["gateway", "--allow", "--", "x"]))
        #expect(try split("--help") == .subcommand(["--help"]))
        #expect(try split("--version") == .subcommand(["--version"]))
        #expect(try split("run", "--help") == run(["--help"], []))
        #expect(try split() == run([], []))
    }

    @Test("an unknown option is named", arguments: ["--foo", "-x", "-", "--gatewayx", "--plain=yes", "-qv"])
    func unknown(option: String) {
        #expect(throws: CommandLineSplitter.Failure(description: "unknown option '\(option)'")) {
            _ = try split(option, "ssh")
        }
    }

    @Test("an option without its value, or before a subcommand, is an error")
    func misplaced() {
        #expect(throws: CommandLineSplitter.Failure(description: "--gateway needs a value")) {
            _ = try split("--gateway")
        }
        #expect(throws: CommandLineSplitter.Failure.self) { _ = try split("--plain", "status") }
    }

    @Test("a command need not be UTF-8")
    func bytes() throws {
        let words: [[UInt8]] = [[0xff, 0xfe], [0x80]]
        #expect(try USLCommand.splitter.split(words) == .run(options: [], command: words))
    }

    @Test("every option of run is known to the splitter, and no other")
    func complete() {
        let help = RunCommand.helpMessage()
        for option in USLCommand.splitter.valueOptions.union(USLCommand.splitter.flags) {
            #expect(help.contains(option) || option == "--version", "\(option)")
        }
        let words = help.split { !$0.isLetter && $0 != "-" }.filter { $0.hasPrefix("--") && $0.count > 2 }
        for word in words {
            let isKnown = USLCommand.splitter.valueOptions.union(USLCommand.splitter.flags).contains(String(word))
            #expect(isKnown, "\(word)")
        }
    }
}

@Suite("Values of the command line")
struct ValueTests {
    @Test("status documents are read, and written again")
    func json() throws {
        let text = #"{"a":[1,-2.5e3,true,false,null],"b":{"c":"\"\\\/\b\f\n\r\té😀 ü"},"n":18446744073709551615}"#
        let value = try #require(JSONValue(Array(text.utf8)))
        #expect(value["a"]?.elements.count == 5)
        #expect(value["n"] == .number("18446744073709551615"))
        #expect(value["b"]?["c"] == .string("\"\\/\u{8}\u{c}\n\r\té😀 ü"))
        #expect(JSONValue(Array(value.text.utf8)) == value)
    }

    @Test("what is no JSON is none")
    func notJSON() {
        let deep = String(repeating: "[", count: 1000) + String(repeating: "]", count: 1000)
        for text in [
            "", "{", "[1,]", "{\"a\"}", "{\"a\":}", "nul", "\"", "\"\\x\"", "\"\\ud800\"", "1 2", "[1", "\"\u{1}\"",
            deep,
            "+", "tru",
        ] {
            #expect(JSONValue(Array(text.utf8)) == nil, "\(text.prefix(20))")
        }
    }

    @Test("the table of sessions is aligned")
    func table() throws {
        let text = #"[{"id":"0123456789abcdef","role":"agent","program":"ssh","links":[{},{}],"bytes":{"sent":12}}]"#
        let lines = SessionTable(try #require(JSONValue(Array(text.utf8))).elements).text.split(separator: "\n")
        #expect(lines.count == 2)
        #expect(lines[1].hasPrefix("01234567  agent  ssh"))
        let column = try #require(Array(lines[0]).indices.first { Array(lines[0])[$0...].starts(with: "SENT") })
        #expect(Array(lines[1])[column...].starts(with: "12"))
    }
}
