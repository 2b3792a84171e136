import Testing

@testable import Policy

@Suite("Rules")
struct RuleTests {
    private func configuration(_ texts: (file: String, text: String)...) throws -> Configuration {
        var configuration = Configuration()
        for (file, text) in texts { try configuration.apply(Array(text.utf8), file: file) }
        return configuration
    }

    private func mistakes(_ lines: String) -> [String] {
        let error = #expect(throws: ConfigurationError.self) { try configuration(("f", "[[rule]]\n" + lines)) }
        return error?.mistakes.map { "\($0.line): \($0.text)" } ?? []
    }

    private func facts(
        _ program: String = "/usr/bin/psql", over connectionProtocol: ConnectionFacts.ConnectionProtocol = .tcp,
        user: UInt32 = 1000, named userName: String? = nil, to destination: String = "10.1.2.3",
        port: UInt16 = 5432, names: [String] = [], from local: String? = nil
    ) throws -> ConnectionFacts {
        ConnectionFacts(
            program: program, userID: user, userName: userName, connectionProtocol,
            destination: try #require(RuleAddress(destination)), port: port, names: names,
            local: local.flatMap { RuleAddress($0) })
    }

    private func matches(_ condition: String, _ facts: ConnectionFacts) throws -> Bool {
        try configuration(("f", "[[rule]]\n\(condition)\ntreatment = \"refuse\"")).decide(facts).treatment == .refuse
    }

    @Test("a program is matched by its name, or with a slash by its path")
    func programs() throws {
        for condition in ["\"psql\"", "\"p*\"", "\"/usr/bin/psql\"", "\"/usr/*/psql\"", "[\"curl\", \"psql\"]"] {
            #expect(try matches("program = \(condition)", facts()), "\(condition)")
        }
        for condition in ["\"PSQL\"", "\"sql\"", "\"/bin/psql\"", "\"bin/psql\"", "\"/usr/*\"", "[\"curl\", \"ssh\"]"] {
            #expect(try !matches("program = \(condition)", facts()), "\(condition)")
        }
        #expect(try matches("program = \"psql\"", facts("psql")))
    }

    @Test("a user is matched by name or number")
    func users() throws {
        #expect(try matches("user = 1000", facts()) && matches("user = \"1000\"", facts()))
        #expect(
            try matches("user = \"joe\"", facts(named: "joe")) && matches("user = [1, \"joe\"]", facts(named: "joe")))
        #expect(try !matches("user = 1001", facts()) && !matches("user = \"joe\"", facts()))
        #expect(try configuration(("f", "[[rule]]\nuser = \"joe\"")).asksForUserNames)
        #expect(try !configuration(("f", "[[rule]]\nuser = 5")).asksForUserNames)
    }

    @Test("a destination is matched by address, network, and names that lead there")
    func destinations() throws {
        for condition in ["\"10.1.2.3\"", "\"10.0.0.0/8\"", "[\"db\", \"10.1.0.0/16\"]"] {
            #expect(try matches("destination = \(condition)", facts()), "\(condition)")
        }
        let named = try facts(names: ["other", "DB1.example.com"])
        for condition in ["\"db1.example.com\"", "\"*.example.com\"", "\"db[12].*\""] {
            #expect(try matches("destination = \(condition)", named), "\(condition)")
        }
        for condition in ["\"10.1.2.4\"", "\"2001:db8::/32\"", "\"db1\"", "\"example.com\""] {
            #expect(try !matches("destination = \(condition)", named), "\(condition)")
        }
    }

    @Test("ports are numbers, texts, ranges and lists of these")
    func ports() throws {
        for condition in ["5432", "\"5432\"", "\"5000-6000\"", "[80, \"5432-5433\"]"] {
            #expect(try matches("port = \(condition)", facts()), "\(condition)")
        }
        for condition in ["5431", "\"1-5431\"", "[80, 443]"] {
            #expect(try !matches("port = \(condition)", facts()), "\(condition)")
        }
    }

    @Test("local addresses match only where it is known where the connection begins")
    func locals() throws {
        #expect(try matches("local = \"192.168.0.0/16\"", facts(from: "192.168.1.1")))
        #expect(try !matches("local = \"192.168.0.0/16\"", facts(from: "10.0.0.1")))
        #expect(try !matches("local = \"0.0.0.0/0\"", facts()))
        #expect(try configuration(("f", "[[rule]]\nlocal = \"::1\"")).asksForLocalAddresses)
    }

    @Test("a rule is about TCP unless it says otherwise, and there are no sessions of datagrams")
    func protocols() throws {
        #expect(try !matches("port = 5432", facts(over: .udp)) && matches("protocol = \"udp\"", facts(over: .udp)))
        #expect(try !matches("protocol = \"udp\"", facts()) && matches("protocol = [\"tcp\", \"udp\"]", facts()))
        let both = try configuration(("f", "[[rule]]\nprotocol = [\"tcp\", \"udp\"]"))
        #expect(try both.decide(facts()).treatment == .session && both.decide(facts(over: .udp)).treatment == .shim)
        #expect(try configuration(("f", "[[rule]]\nprotocol = \"udp\"")).decide(facts(over: .udp)).treatment == .shim)
        #expect(
            mistakes("protocol = \"udp\"\ntreatment = \"session\"") == [
                "3: 'rule.treatment' cannot be \"session\" for protocol \"udp\"; did you mean \"shim\"?"
            ])
    }

    @Test("without a rule: sessions for TCP; DNS and NTP over UDP get shim, and the rest nothing")
    func noRule() throws {
        let none = Configuration()
        #expect(try none.decide(facts()) == Verdict(.session))
        #expect(
            try none.decide(facts(over: .udp, port: 53)).treatment == .shim
                && none.decide(facts(over: .udp, port: 123)).treatment == .shim)
        #expect(try none.decide(facts(over: .udp, port: 443)).treatment == .direct)
        #expect(none.datagramPorts == [53...53, 123...123])
        let some = try configuration(
            (
                "f",
                "[[rule]]\nprotocol = \"udp\"\nport = [514, \"1812-1813\"]\n[[rule]]\nprotocol = \"udp\"\ntreatment = \"direct\""
            ))
        #expect(some.datagramPorts == [53...53, 123...123, 514...514, 1812...1813])
        #expect(try configuration(("f", "[[rule]]\nprotocol = \"udp\"")).datagramPorts.contains(1...65535))
    }

    @Test("the first match wins, later files come first, and what it leaves open has defaults")
    func precedence() throws {
        let both = try configuration(
            ("system", "[[rule]]\ntreatment = \"direct\"\nport = 5432\n[[rule]]\ntreatment = \"refuse\""),
            ("user", "[limits]\nsessions = 5\n\n[[rule]]\nprogram = \"psql\"\ngateway = \"gw\"\n[[rule]]\nport = 22"))
        var expected = Verdict(.session)
        expected.origin = RuleOrigin(file: "user", line: 4)
        expected.gateway = GatewayName("gw")
        #expect(try both.decide(facts()) == expected)
        #expect(try both.decide(facts("curl")).origin == RuleOrigin(file: "system", line: 1))
        #expect(try both.decide(facts("curl", port: 80)).treatment == .refuse)
        #expect(
            try both.refusals(facts("curl", port: 80)).map { "\($0.origin) \($0.key) \($0.wanted)" } == [
                "user:4 program psql", "user:7 port 22", "system:1 port 5432",
            ])
    }

    @Test("everything that a rule can give")
    func everything() throws {
        let pin = "SHA256:" + String(repeating: "A", count: 43)
        let verdict = try configuration(
            (
                "f",
                """
                [[rule]]
                treatment = "session"
                gateway = "[2001:db8::7]:7118"
                links = "mirror"
                sources = ["wlan0", "192.0.2.1"]
                transport = "mptcp"
                suspend = "1h"
                pin = "\(pin)"
                attempts = { delay = "100ms", budget = "5s", at-once = 3 }
                addresses = ["192.0.2.7", "2001:db8::7"]
                reverse-lookup = "off"
                private-addresses = true
                detection = "probe"
                """
            )
        ).decide(facts())
        var expected = Verdict(.session)
        expected.origin = RuleOrigin(file: "f", line: 1)
        expected.gateway = GatewayName("[2001:db8::7]:7118")
        expected.links = .mirror
        expected.sources = ["wlan0", "192.0.2.1"]
        expected.transport = .mptcp
        expected.suspend = .seconds(3600)
        expected.pin = pin
        expected.attempts.delay = .milliseconds(100)
        expected.attempts.budget = .seconds(5)
        expected.attempts.atOnce = 3
        expected.addresses = ["192.0.2.7", "2001:db8::7"].compactMap { RuleAddress($0) }
        expected.reverseLookup = .off
        expected.allowsPrivateAddresses = true
        expected.detection = .probe
        #expect(verdict == expected)
    }

    @Test("names that would decide: those of rules up to the first that matches")
    func decisiveNames() throws {
        let rules = try configuration(
            (
                "f",
                """
                [[rule]]
                destination = ["db1", "*.example.com", "192.0.2.0/24"]
                port = 5432
                [[rule]]
                destination = "web"
                port = 80
                [[rule]]
                destination = ["db1", "db2.example.com"]
                [[rule]]
                port = 5432
                [[rule]]
                destination = "db3"
                """
            ))
        #expect(try rules.decisiveNames(facts()) == ["db1", "db2.example.com"])
        #expect(try rules.decisiveNames(facts(to: "192.0.2.1")) == [])
        #expect(try rules.decisiveNames(facts(over: .udp)) == [])
    }

    @Test(
        "mistakes in conditions",
        arguments: [
            ("progam = \"x\"", "2: unknown key 'rule.progam'; did you mean 'program'?"),
            (
                "program = \"[a\"",
                "2: 'rule.program' must be the name or the path of a program, or a pattern as \"pg_*\" or \"/usr/bin/*\", not \"[a\""
            ),
            ("program = []", "2: 'rule.program' has 0 values; there must be at least one, and at most 256"),
            ("user = -1", "2: 'rule.user' must be the name or the number of a user, not -1"),
            ("protocol = \"tpc\"", "2: 'rule.protocol' must be \"tcp\" or \"udp\", not \"tpc\"; did you mean \"tcp\"?"),
            (
                "destination = \"10.0.0.1/8\"",
                "2: 'rule.destination' must be an address, a network as \"10.0.0.0/8\", a host name, or a pattern as \"*.example.com\", not \"10.0.0.1/8\"; did you mean \"10.0.0.0/8\"?"
            ),
            (
                "destination = \"10.0.0.256\"",
                "2: 'rule.destination' must be an address, a network as \"10.0.0.0/8\", a host name, or a pattern as \"*.example.com\", not \"10.0.0.256\""
            ),
            (
                "destination = \"10.0.0.0/33\"",
                "2: 'rule.destination' must be an address, a network as \"10.0.0.0/8\", a host name, or a pattern as \"*.example.com\", not \"10.0.0.0/33\""
            ),
            ("port = [80,\n443,\n80]", "4: 'rule.port' has 80 twice"),
            ("port = 0", "2: 'rule.port' must be a port from 1 to 65535, or several as \"8000-8100\", not 0"),
            (
                "port = \"http\"",
                "2: 'rule.port' must be a port from 1 to 65535, or several as \"8000-8100\", not \"http\""
            ),
            ("local = \"eth0\"", "2: 'rule.local' must be an address, or a network as \"10.0.0.0/8\", not \"eth0\""),
        ])
    func wrongConditions(line: String, mistake: String) { #expect(mistakes(line) == [mistake]) }

    @Test(
        "mistakes in what rules give",
        arguments: [
            (
                "treatment = \"sesion\"",
                "2: 'rule.treatment' must be \"session\", \"shim\", \"shim-sources\", \"direct\" or \"refuse\", not \"sesion\"; did you mean \"session\"?"
            ),
            (
                "gateway = \"2001:db8::1\"",
                "2: 'rule.gateway' must be a gateway as \"HOST\", \"HOST:PORT\" or \"[IPV6]:PORT\", not \"2001:db8::1\"; did you mean \"[2001:db8::1]\"?"
            ),
            (
                "links = \"mirrors\"",
                "2: 'rule.links' must be \"failover\", \"mirror\" or \"stripe\", not \"mirrors\"; did you mean \"mirror\"?"
            ),
            ("sources = [\"a b\"]", "2: 'rule.sources' must be an address or the name of an interface, not \"a b\""),
            ("sources = [\"::1\", \"0::1\"]", "2: 'rule.sources' has \"0::1\" twice"),
            ("transport = 5", "2: 'rule.transport' must be \"tcp\" or \"mptcp\", not 5"),
            ("suspend = \"1ms\"", "2: 'rule.suspend' must be between 1s and 3650d"),
            (
                "pin = \"SHA256:abc\"",
                "2: 'rule.pin' must be a key as `usl identity` prints it: \"SHA256:\" and 43 characters, not \"SHA256:abc\""
            ),
            ("attempts = { dealy = \"1s\" }", "2: unknown key 'rule.attempts.dealy'; did you mean 'delay'?"),
            ("attempts.at-once = 0", "2: 'rule.attempts.at-once' must be between 1 and 32"),
            ("attempts = 5", "2: 'rule.attempts' is a section: [rule.attempts]; this is an integer"),
            ("addresses = [\"db1\"]", "2: 'rule.addresses' must be an address, not \"db1\""),
            (
                "reverse-lookup = true",
                "2: 'rule.reverse-lookup' must be \"off\", \"confirmed\" or \"unconfirmed\", not a boolean"
            ),
            ("private-addresses = \"yes\"", "2: 'rule.private-addresses' must be true or false, not \"yes\""),
            ("detection = \"on\"", "2: 'rule.detection' must be \"off\", \"port\" or \"probe\", not \"on\""),
            ("treatment = \"direct\"\nlinks = \"mirror\"", "3: 'rule.links' does nothing with treatment \"direct\""),
            ("treatment = \"shim\"\ngateway = \"gw\"", "3: 'rule.gateway' does nothing with treatment \"shim\""),
            (
                "treatment = \"shim-sources\"\naddresses = \"::1\"",
                "3: 'rule.addresses' does nothing with treatment \"shim-sources\""
            ),
        ])
    func wrongResults(lines: String, mistake: String) { #expect(mistakes(lines) == [mistake]) }

    @Test("the last bits of a pin are part of no key")
    func pins() {
        #expect(PinReader.read(.string("SHA256:" + String(repeating: "A", count: 42) + "B")) == nil)
        #expect(PinReader.read(.string("SHA256:" + String(repeating: "A", count: 42) + "E")) != nil)
        #expect(PinReader.read(.string("SHA256:" + String(repeating: "A", count: 42) + "\u{e9}")) == nil)
    }

    @Test("rules are written [[rule]]; with a mistake, none of the file applies")
    func whole() throws {
        var configuration = try configuration(("a", "[[rule]]\ntreatment = \"direct\""))
        func mistakes(_ text: String) -> String {
            #expect(throws: ConfigurationError.self) { try configuration.apply(Array(text.utf8), file: "b") }?
                .description ?? ""
        }
        #expect(mistakes("[rule]\nport = 5") == "b:1: 'rule' may be there several times: [[rule]]; this is a table")
        #expect(mistakes("rule = [5]") == "b:1: 'rule' is a section: [[rule]]; this is an integer")
        #expect(mistakes("[[rules]]") == "b:1: unknown section 'rules'; did you mean 'rule'?")
        #expect(mistakes("[[rule]]\nport = 1\n[[rule]]\nport = 0\nx = 1").split(separator: "\n").count == 2)
        #expect(try configuration.rules.count == 1 && configuration.decide(facts()).treatment == .direct)
    }
}
