import CLinux
import Kernel
import NetworkLab
import TestSupport
import Testing

extension EndToEnd {
    /// Small programs, run bare and under USL: exit status and every byte of output must be the same.
    @Suite struct DifferentialTests {
        static let python = "import errno, os, socket, sys, time\n"

        static let commands: [[String]] = [
            // A refused port is refused, with the same message, by every kind of connect.
            ["ncat", "server", "1"],
            ["nc", "-v", "server", "1"],
            ["curl", "-sS", "--max-time", "5", "-o", "/dev/null", "-w", "%{errormsg}", "http://server:1/"],
            ["/bin/bash", "-c", "exec 3<>/dev/tcp/server/1"],
            ["/usr/bin/python3", "-c", "import asyncio; asyncio.run(asyncio.open_connection('server', 1))"],
            // No route, no name.
            ["nc", "-v", "-w", "2", "203.0.113.1", "80"],
            ["curl", "-sS", "http://nowhere.invalid/"],
            // What a program can learn about its connection.
            [
                "/usr/bin/python3", "-c",
                python + "s = socket.create_connection(('server', 7000)); print(s.getpeername(), s.getsockname()[0])",
            ],
            // The first bytes and the end; the server speaks first and closes.
            ["/bin/bash", "-c", "exec 3<>/dev/tcp/server/7000; cat <&3"],
            // A second connect says that the socket is connected.
            [
                "/usr/bin/python3", "-c",
                python
                    + "s = socket.create_connection(('server', 7000)); print(errno.errorcode[s.connect_ex(('server', 7000))])",
            ],
            // Programs without a connection: status, signal, output.
            ["/bin/sh", "-c", "echo out; echo error >&2; exit 3"],
            ["/bin/sh", "-c", "kill -TERM $$"],
            ["cat"],
        ]

        @Test func theSameAsWithoutUSL() throws {
            let bare = try outcomes(.bare)
            let under = try outcomes(.usl)
            for (command, pair) in zip(Self.commands, zip(bare, under)) {
                let (expected, found) = pair
                #expect(found.status == expected.status, "\(command): \(found.errors)")
                #expect(withoutTimes(found.output) == withoutTimes(expected.output), "\(command)")
                #expect(withoutTimes(found.errors) == withoutTimes(expected.errors), "\(command)")
            }
        }

        /// The text with every "N ms" blanked: how long something took is not the same twice even without USL.
        private func withoutTimes(_ text: String) -> String {
            text.replacing(/[0-9]+ ms/, with: "N ms")
        }

        private func outcomes(_ mode: Mode) throws -> [Host.Outcome] {
            var outcomes: [Host.Outcome] = []
            try UnderTest.with(mode) { test in
                let server = try test.serve(
                    ["ncat", "--listen", "--keep-open", "-p", "7000", "--sh-exec", "echo hello"], port: 7000)
                for command in Self.commands {
                    outcomes.append(try test.client.run(test.prefix + command, input: .bytes(Array("input".utf8))))
                }
                server.terminate()
            }
            return outcomes
        }

        /// Programs that connect in every way see the same in every mode, field by field, but for what ``KnownDifference`` gives a
        /// reason for; and docs/interception.md says so.
        @Test func everyWayToConnect() throws { try compare(ProbeProgram.usual, .usual) }

        /// The same in the languages whose programs take longer to make and to start.
        @Test(.enabled(if: getenv("USL_TEST_ALL") != nil)) func everyWayToConnectInOtherLanguages() throws {
            try compare(ProbeProgram.others, .others)
        }

        /// Connections of many threads on which signals rain: none gets lost, and no descriptor stays open.
        @Test(arguments: ["restart", "interrupt"]) func aStormOfSignals(handlers: String) throws {
            let directory = try TemporaryDirectory()
            let size = getenv("USL_TEST_ALL") == nil ? ["1000", "16"] : ["10000", "64"]
            let program = try ProbeProgram.compileC(["stress"], directory.path)
            let modes = InterceptionMode.all.filter { $0.name != "preload-direct" }
            try DifferentialSite.with(modes: modes) { site in
                for mode in modes {
                    let process = try site.start([program] + size + [handlers], in: mode, targets: site.echoServer)
                    #expect(try process.wait(.seconds(120)) == .success, "\(mode.name): \(process.standardError)")
                    let output = process.standardOutput
                    // A signal can come before a supervisor has heard of a connect(2), which then has not begun.
                    let mayNotBegin = mode.trapsConnect && handlers == "interrupt"
                    #expect(
                        output.hasPrefix("failed=0 wrong=0 descriptors=0 unbegun=\(mayNotBegin ? "" : "0\n")"),
                        "\(mode.name): \(process.standardError)")
                }
            }
        }

        private func compare(_ programs: [ProbeProgram], _ section: InterceptionTable.Section) throws {
            let directory = try TemporaryDirectory()
            var table = InterceptionTable(modes: InterceptionMode.all, known: KnownDifference.all)
            try DifferentialSite.with(modes: InterceptionMode.all) { site in
                for program in programs {
                    let comparison = try DifferentialComparison(site, program, program.build(in: directory.path))
                    comparison.expectKnownDifferences()
                    table.add(program, cases: comparison.bare.cases)
                }
            }
            try table.compareWithDocument(section)
        }
    }
}
