import NetworkLab
import Testing

extension EndToEnd {
    @Suite struct NetcatTests {
        static let gibibyte = 1 << 30

        @Test(arguments: Mode.allCases)
        func aGibibyteToTheServer(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(1000)) { test in
                let sink = try test.serve(script: "ncat -l -p 7000 --recv-only | sha256sum", port: 7000)
                let sent = try test.script(
                    """
                    head -c \(Self.gibibyte) /dev/urandom | tee >(sha256sum >/run/digest) \\
                        | "$@" ncat --send-only server 7000
                    # bash does not wait for the other side of `>(…)`.
                    until [ -s /run/digest ]; do sleep 0.01; done
                    cat /run/digest
                    """, within: .seconds(120))
                #expect(try sink.wait(.seconds(60)) == .success)
                #expect(sink.standardOutput == sent)
            }
        }

        @Test(arguments: Mode.allCases)
        func aGibibyteFromTheServer(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(1000)) { test in
                let source = try test.serve(
                    script: """
                        head -c \(Self.gibibyte) /dev/urandom | tee >(sha256sum >/run/digest) \\
                            | ncat -l -p 7000 --send-only
                        until [ -s /run/digest ]; do sleep 0.01; done
                        cat /run/digest
                        """, port: 7000)
                let received = try test.script(
                    #""$@" ncat --recv-only server 7000 </dev/null | sha256sum"#, within: .seconds(120))
                #expect(try source.wait(.seconds(60)) == .success)
                #expect(source.standardOutput == received)
            }
        }

        /// Links over IPv6, which a firewall on the way answers with resets.
        @Test(arguments: Mode.allCases)
        func aFirewallResetsLinksOverIPv6(mode: Mode) throws {
            let attack = Attack.Kind.resets(
                port: UnderTest.gatewayPort, every: .milliseconds(300), lasting: .milliseconds(30))
            try UnderTest.with(mode, rate: .megabits(500), overIPv6: true, attack: attack) { test in
                let sink = try test.serve(script: "ncat -6 -l -p 7000 --recv-only | sha256sum", port: 7000)
                try test.client.makeRandomFile("/run/file", megabytes: 128)
                try test.script(#""$@" ncat --send-only \#(test.server.address6) 7000 </run/file"#)
                #expect(try sink.wait(.seconds(30)) == .success)
                #expect(sink.standardOutput.prefix(64) == (try test.client.digest("/run/file")))
            }
        }

        /// Both directions at once, ended by a half-close: what comes back after the client's end must all arrive.
        @Test(arguments: Mode.allCases, ["ncat", "nc -N"])
        func anEchoOutlivesTheClientsEnd(mode: Mode, netcat: String) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let echo = try test.serve(["socat", "-t", "60", "TCP6-LISTEN:7000", "EXEC:cat"], port: 7000)
                try test.client.makeRandomFile("/run/file", megabytes: 64)
                let received = try test.script(#""$@" \#(netcat) server 7000 </run/file | sha256sum"#)
                #expect(received.prefix(64) == (try test.client.digest("/run/file")))
                #expect(try echo.wait(.seconds(20)) == .success)
            }
        }
    }
}
