import CLinux
import Kernel
import Testing

@Suite("Policy of usl")
struct PolicyTests {
    let installation: Installation
    private var folder: String { installation.directory + "/config/usl" }

    init() throws {
        installation = try Installation()
        _ = try installation.run(["mkdir", "-p", folder])
    }

    private func write(_ text: String, to name: String = "usl.toml") throws {
        let outcome = try installation.run(
            ["sh", "-c", "cat > \(folder)/new && mv \(folder)/new \(folder)/\(name)"], input: text)
        try #require(outcome.status == .success)
    }

    private func check(_ words: String...) throws -> Installation.Outcome {
        try installation.run(
            [installation.usl, "policy", "check"] + words,
            environment: ["XDG_CONFIG_HOME": installation.directory + "/config"])
    }

    @Test("the rule that matches is told, and why those before it do not")
    func explanation() throws {
        try write(
            """
            [[rule]]
            program = "curl"
            treatment = "refuse"

            [[rule]]
            destination = ["localhost"]
            port = "5000-6000"
            gateway = "db-gw"
            links = "mirror"
            """)
        try write("[[rule]]\nport = [80, 443]\n[[rule]]\nprotocol = \"udp\"\n", to: "more.toml")
        let named = try check("true", "localhost:5432", "--policy", folder + "/more.toml")
        #expect(named.status == .success && named.errors == "", "\(named.errors)")
        let lines = named.output.split(separator: "\n").map(String.init)
        #expect(
            lines.first?.hasPrefix("true to localhost (") == true && lines.first?.hasSuffix("), port 5432/tcp:") == true
        )
        #expect(
            lines.dropFirst().filter { !$0.contains("program is") } == [
                "  \(folder)/more.toml:1: no, port is 5432, and the rule wants 80, 443",
                "  \(folder)/more.toml:3: no, protocol is tcp, and the rule wants udp",
                "  \(folder)/usl.toml:5: yes",
                "    session: through the gateway, and never without it", "    gateway db-gw", "    links mirror",
            ], "\(named.output)")
        #expect(
            lines.contains { $0.contains("usl.toml:1: no, program is /") && $0.hasSuffix(", and the rule wants curl") })
    }

    @Test("without a rule, what holds anyway is told")
    func noRule() throws {
        #expect(
            try check("no-such-program", "192.0.2.1:22").output == """
                no-such-program to 192.0.2.1, port 22/tcp:
                  no rule matches; what holds without one
                    session: through a gateway, if one is found at the destination; else as shim
                    detection port

                """)
        #expect(try check("dig", "192.0.2.1:53", "--udp").output.contains("shim: "))
        #expect(try check("dig", "192.0.2.1:54", "--udp").output.contains("direct: left alone"))
    }

    @Test("mistakes are told with their lines, and nothing else")
    func mistakes() throws {
        try write("[[rule]]\nprogam = \"x\"\nport = 0\n")
        let outcome = try check("psql", "192.0.2.1:5432")
        #expect(outcome.status == .exited(125) && outcome.output == "")
        #expect(
            outcome.errors == """
                usl: \(folder)/usl.toml:2: unknown key 'rule.progam'; did you mean 'program'?
                usl: \(folder)/usl.toml:3: 'rule.port' must be a port from 1 to 65535, or several as "8000-8100", not 0

                """)
    }

    @Test(
        "a gateway reads its configuration again when the file changes, and at SIGHUP; a mistake leaves what was before"
    )
    func reload() throws {
        let gateway = try installation.start(
            [
                installation.usl, "gateway", "--plain", "--listen", "127.0.0.1:0", "--allow", "localhost:22", "--state",
                installation.directory + "/state",
            ], environment: ["XDG_CONFIG_HOME": installation.directory + "/config"])
        eventually { installation.keepers("gateway").count == 1 }
        // It answers once it watches.
        #expect(try installation.run([installation.usl, "status", "--json"]).output.contains("\"limit\":4096"))
        try write("[limits]\nopening = 5\n")
        #expect(try gateway.errors.readLine() == "usl: read the configuration again\n")
        try write("[limits]\nopenin = 6\n")
        #expect(
            try gateway.errors.readLine()
                == "usl: \(folder)/usl.toml:2: unknown key 'limits.openin'; did you mean 'opening'?\n")
        #expect(try gateway.errors.readLine() == "usl: the configuration of before stays in force\n")
        let status = try installation.run([installation.usl, "status", "--json"])
        #expect(status.output.contains("\"opening\":{\"now\":0,\"limit\":5,"), "\(status.output)")
        try write("[limits]\nmemory = \"1GiB\"\n")
        #expect(
            try gateway.errors.readLine() == "usl: read the configuration again; memory counts from the next start\n")
        try gateway.child.send(signal: SIGHUP)
        #expect(try gateway.errors.readLine().hasPrefix("usl: read the configuration again"))
        try gateway.child.send(signal: SIGTERM)
        #expect(try gateway.child.wait() == .success)
    }

    /// SIGHUP of a terminal that goes is the end, from the kernel or passed on by a shell; another is not.
    @Test("a gateway at a terminal ends with it, and not at another SIGHUP", arguments: [false, true])
    func terminal(underShell: Bool) throws {
        let driver = #"""
            import os, pty, select, signal, sys
            command = [sys.argv[1], 'gateway', '--plain', '--listen', '127.0.0.1:0', '--allow', '*:1', '--state', sys.argv[2]]
            pid, terminal = pty.fork()
            if pid == 0:
                if sys.argv[3] == 'false': os.execv(command[0], command)
                child = os.posix_spawn(command[0], command, os.environ)
                def pass_on(*_):
                    os.kill(child, signal.SIGHUP)
                    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                signal.signal(signal.SIGHUP, pass_on)
                while True: signal.pause()
            run = os.environ['XDG_RUNTIME_DIR'] + '/usl'
            def gateways(): return [name for name in os.listdir(run) if name.startswith('gateway-')] if os.path.isdir(run) else []
            def ready(): return b'gateways' in os.popen(command[0] + ' status --json').read().encode()
            while not (gateways() and ready()): select.select([], [], [], 0.01)
            os.kill(int(gateways()[0].split('-')[1].split('.')[0]), signal.SIGHUP)
            said = b''
            while b'read the configuration again' not in said: said += os.read(terminal, 4096)
            os.close(terminal)
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), gateways())
            """#
        let outcome = try installation.run([
            "python3", "-c", driver, installation.usl, installation.directory + "/state", "\(underShell)",
        ])
        #expect(outcome == .init(status: .success, output: "0 []\n", errors: ""))
    }
}
