import Kernel
import NetworkLab
import Testing

extension EndToEnd {
    /// The demo itself, on a machine of its own, and what it leaves there.
    @Suite struct DemoTests {
        @Test func plainDiesAndNothingIsLost() throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["machine"]) { lab in
                let outcome = try lab["machine"].run([usl, "demo", "--seconds", "8"], within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.output)\(outcome.errors)")
                #expect(outcome.output.contains("plain ping-pong: died in second"))
                #expect(outcome.output.contains("0 bytes lost"))
                #expect(try processes(lab["machine"]).isEmpty)
            }
        }

        @Test(arguments: [2, 9, 15] as [Int32])
        func nothingIsLeftAfterASignal(signal: Int32) throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["machine"]) { lab in
                let demo = try lab["machine"].start([usl, "demo", "--seconds", "30"])
                try demo.waitForOutput("tcpkill now resets")
                demo.signal(signal)
                #expect(try demo.wait(.seconds(10)) == (signal == 9 ? .signaled(9) : .exited(130)))
                try waitUntil("end of all processes", within: .seconds(10)) {
                    (try? processes(lab["machine"]).isEmpty) == true
                }
            }
        }

        /// The command lines of all processes of a host, without the first one and the one that asks.
        private func processes(_ host: Host) throws -> [String] {
            let list = try host.succeed([
                "/bin/sh", "-c", "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' <$p/cmdline); done",
            ])
            return list.split(separator: "\n").map(String.init).filter { line in
                !line.hasPrefix("1 ") && line.contains("usl")
            }
        }
    }
}
