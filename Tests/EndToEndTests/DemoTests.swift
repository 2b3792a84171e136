import Kernel
import NetworkLab
import Testing

extension EndToEnd {
    /// The demo itself, on a machine of its own, and what it leaves there.
    @Suite struct DemoTests {
        @Test func plainDiesAndNothingIsLost() throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["machine"]) { lab in
                let outcome = try lab["machine"].run([usl, "demo", "--seconds", "12"], within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.output)\(outcome.errors)")
                #expect(outcome.output.contains("plain ping-pong: died in second"))
                #expect(outcome.output.contains("0 bytes lost"))
                try waitUntil("end of all processes", within: .seconds(5)) {
                    (try? processes(lab["machine"]).isEmpty) == true
                }
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

        /// The demo's word "verified" has to mean something: its server finds a byte that was lost, doubled or changed.
        @Test(arguments: ["data[:-9] + data[-8:]", "data[:8] + data", "data[:100] + b'x' + data[101:]"])
        func aDamagedStreamIsFound(damage: String) throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["machine"]) { lab in
                let host = lab["machine"]
                for (part, verdict) in [("data", "verified 0 100000 "), (damage, "failed wrong bytes")] {
                    let server = try host.start([usl, "demo-peer", "bulk-server", "7000"])
                    try host.waitForListener(port: 7000)
                    let client = """
                        import socket
                        def words(count):
                            word = 0
                            for _ in range(count):
                                word = (word + 0x9e3779b97f4a7c15) % 2**64
                                mixed = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9 % 2**64
                                mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb % 2**64
                                yield (mixed ^ (mixed >> 31)).to_bytes(8, 'little')
                        data = b''.join(words(12500))
                        s = socket.create_connection(('127.0.0.1', 7000))
                        s.sendall(\(part))
                        s.shutdown(socket.SHUT_WR)
                        """
                    // The server may have gone before the client has sent everything.
                    _ = try host.run(["/usr/bin/python3", "-c", client])
                    try server.wait(.seconds(5))
                    #expect(server.standardOutput.split(separator: "\n").last?.hasPrefix(verdict) == true)
                }
            }
        }

        /// The command lines of all processes of a host, without the first one and the one that asks.
        private func processes(_ host: Host) throws -> [String] {
            let list = try host.succeed([
                "/bin/sh", "-c", "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' <$p/cmdline); done",
            ])
            return list.split(separator: "\n").map(String.init).filter { line in
                line.contains(" ") && !line.hasPrefix("1 ") && !line.contains("for p in")
            }
        }
    }
}
