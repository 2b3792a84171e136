import Kernel
import NetworkLab
import Testing

/// Every attack breaks a plain connection, and says so.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct AttackTests {
    /// What a connection under attack ends with, as seen by a program that sends one byte each 10 ms and says why it ended.
    private func endOfConnection(to address: String, in lab: Lab, under kind: Attack.Kind) throws -> String {
        let server = """
            import socket
            s = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
            print('ready', flush=True)
            c, _ = s.accept()
            try:
                while c.recv(100): c.send(b'x')
            except OSError as e: print(e)
            """
        let client = """
            import socket, sys, time
            c = socket.create_connection((sys.argv[1], 7000))
            print('connected', flush=True)
            end = time.monotonic() + 15
            try:
                while time.monotonic() < end:
                    c.send(b'x'); c.recv(100); time.sleep(0.01)
                print('alive')
            except OSError as e: print(type(e).__name__)
            """
        let serving = try lab["server"].start(["/usr/bin/python3", "-c", server])
        try serving.waitForOutput("ready")
        let process = try lab["client"].start(["/usr/bin/python3", "-c", client, address])
        try process.waitForOutput("connected")
        let attack = try lab.attack(kind)
        defer { attack.stop() }
        try process.wait(.seconds(20))
        try waitUntil("a kill that was counted", within: .seconds(5)) { attack.kills > 0 }
        serving.terminate()
        return process.standardOutput
    }

    @Test func tcpkillResets() throws {
        try Lab.with(hosts: ["client", "server"], rate: .megabits(100)) { lab in
            let end = try endOfConnection(to: lab["server"].address, in: lab, under: .tcpkill(filter: "tcp port 7000"))
            #expect(end.contains("ConnectionResetError") || end.contains("BrokenPipeError"))
        }
    }

    @Test func firewallResetsBothFamilies() throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let kind = Attack.Kind.resets(port: 7000, every: .milliseconds(300), lasting: .milliseconds(50))
            for address in [lab["server"].address, lab["server"].address6] {
                let end = try endOfConnection(to: address, in: lab, under: kind)
                #expect(end.contains("ConnectionResetError") || end.contains("BrokenPipeError"))
            }
        }
    }

    @Test func socketKillAbortsBothFamilies() throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let kind = Attack.Kind.socketKill(host: "server", port: 7000, every: .milliseconds(300))
            for address in [lab["server"].address, lab["server"].address6] {
                let end = try endOfConnection(to: address, in: lab, under: kind)
                #expect(end.contains("ConnectionResetError") || end.contains("BrokenPipeError"))
            }
        }
    }
}
