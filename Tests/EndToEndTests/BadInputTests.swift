import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// What people get wrong, and what machines refuse: one clear line, and the right status.
    @Suite struct BadInputTests {
        /// Runs `usl` with these words on a lab host of its own; it must say `line`, after `usl: `, and nothing else.
        private func expect(
            _ words: [String], on host: Host, environment: [String: String] = [:], says line: String,
            hint: Bool = false, status: UInt8 = 125, location: SourceLocation = #_sourceLocation
        ) throws {
            let outcome = try host.run([try UnderTest.usl()] + words, environment: environment)
            let expected = "usl: \(line)\n" + (hint ? "usl: see usl --help\n" : "")
            #expect(outcome.errors == expected, "\(words)", sourceLocation: location)
            #expect(outcome.status == .exited(status), "\(words)", sourceLocation: location)
            #expect(outcome.output == "", "\(words)", sourceLocation: location)
        }

        @Test func wordsThatMakeNoSense() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let host = lab["client"]
                try expect(["--plian", "true"], on: host, says: "unknown option '--plian'", hint: true)
                try expect([], on: host, says: "no command to run", hint: true)
                try expect(["--plain"], on: host, says: "no command to run", hint: true)
                try expect(["--gateway"], on: host, says: "--gateway needs a value", hint: true)
                try expect(
                    ["--suspend", "5", "true"], on: host,
                    says:
                        "The value '5' is invalid for '--suspend <duration>': '5' is no duration; write it as 250ms, 30s, 15m, 24h or 7d",
                    hint: true)
                try expect(
                    ["--gateway", "edge:70000", "true"], on: host,
                    says:
                        "The value 'edge:70000' is invalid for '--gateway <host:port>': 'edge:70000' is no HOST or HOST:PORT",
                    hint: true)
                try expect(
                    ["--gateway", "edge..invalid", "true"], on: host,
                    says: "cannot resolve 'edge..invalid': Name or service not known")
                try expect(
                    ["--pin", "MD5:00", "true"], on: host,
                    says:
                        "The value 'MD5:00' is invalid for '--pin <fingerprint>': 'MD5:00' is no fingerprint; it is SHA256: and 43 characters, as `usl identity` prints it",
                    hint: true)
                try expect(
                    ["no-such-program"], on: host, says: "cannot run 'no-such-program': No such file or directory",
                    status: 127)
                try expect(["/etc/hosts"], on: host, says: "cannot run '/etc/hosts': Permission denied", status: 126)
                try expect(
                    ["forward", "localhost:1", "nowhere..invalid:2"], on: host,
                    says: "cannot resolve 'nowhere..invalid': Name or service not known")
                try expect(
                    ["forward", "localhost", "client:2"], on: host,
                    says: "The value 'localhost' is invalid for '<listen>': 'localhost' is no HOST:PORT", hint: true)
                try expect(
                    ["gateway", "--plain"], on: host,
                    says: "nothing is allowed: give at least one --allow TARGET or --front PUBLIC=TARGET",
                    hint: true)
                try expect(
                    ["gateway", "--allow", "*:22", "--state", "/proc/no/where"], on: host,
                    says:
                        "cannot start: cannot keep an identity at /proc/no/where: No such file or directory; give --state DIRECTORY"
                )
                for (target, reason) in [
                    ("22", "a target is HOST:PORT, CIDR:PORT or *:PORT"),
                    ("*:0", "the port must be a number from 1 to 65535, or two as N-M"),
                    ("*:9-8", "the port must be a number from 1 to 65535, or two as N-M"),
                    ("10.0.0.0/33:22", "'10.0.0.0/33' is no network in CIDR form"),
                    ("fe80::1:22", "an IPv6 address stands in brackets, as [fe80::1]:22"),
                ] {
                    try expect(
                        ["gateway", "--plain", "--allow", target], on: host, says: "--allow \(target): \(reason)")
                }
            }
        }

        @Test func addressesThatCannotBeHad() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let host = lab["client"]
                let first = try host.start([try UnderTest.usl(), "gateway", "--plain", "--allow", "*:22"])
                try host.waitForListener(port: UnderTest.gatewayPort)
                try expect(
                    ["gateway", "--plain", "--allow", "*:22"], on: host,
                    says: "cannot listen on 0.0.0.0:7117: the port is in use")
                try expect(
                    ["forward", "localhost:7117", "client:22"], on: host,
                    says: "cannot listen on [::1]:7117: the port is in use")
                try expect(
                    ["gateway", "--plain", "--listen", "192.0.2.1:7200", "--allow", "*:22"], on: host,
                    says: "cannot listen on 192.0.2.1:7200: this host has no such address")
                first.terminate()
                // Without the capability to bind such ports (capabilities(7)).
                let command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", try UnderTest.usl()]
                let outcome = try host.run(
                    command + ["gateway", "--plain", "--listen", "0.0.0.0:77", "--allow", "*:22"])
                #expect(outcome.errors == "usl: cannot listen on 0.0.0.0:77: ports below 1024 need privilege\n")
                #expect(outcome.status == .exited(125))
            }
        }

        /// A gateway does its work without a state directory, and says what is missed.
        @Test func aStateDirectoryThatCannotBeMade() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let host = lab["client"]
                let gateway = try host.start(
                    [try UnderTest.usl(), "gateway", "--plain", "--allow", "*:22", "--state", "/proc/no/where"])
                try host.waitForListener(port: UnderTest.gatewayPort)
                try gateway.waitForOutput("usl: cannot keep the instance number in /proc/no/where: ")
                #expect(gateway.terminate() == .exited(0))
                #expect(gateway.standardError.split(separator: "\n").count == 2, "\(gateway.standardError)")
            }
        }

        @Test(.enabled(if: geteuid() == 0, "gives a folder to another user"))
        func aRuntimeDirectoryOfSomebodyElse() throws {
            try Lab.with(hosts: ["client"]) { lab in
                let host = lab["client"]
                try host.succeed(["sh", "-c", "mkdir -p /run/user/usl && chown 65534 /run/user/usl"])
                for words in [["true"], ["status"], ["gateway", "--plain", "--allow", "*:22"]] {
                    let outcome = try host.run(
                        [try UnderTest.usl()] + words, environment: ["XDG_RUNTIME_DIR": "/run/user"])
                    #expect(outcome.status == .exited(125), "\(words)")
                    #expect(
                        outcome.errors.hasPrefix("usl: ") && outcome.errors.contains("/run/user/usl")
                            && outcome.errors.split(separator: "\n").count == 1, "\(words): \(outcome.errors)")
                }
            }
        }
    }
}
