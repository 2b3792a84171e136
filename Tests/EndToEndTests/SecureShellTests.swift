import CLinux
import Kernel
import NetworkLab
import Testing

extension EndToEnd {
    /// sshd changes users, which the lab of an ordinary user cannot.
    @Suite(.enabled(if: geteuid() == 0, "sshd needs root")) struct SecureShellTests {
        static let port: UInt16 = 2222
        static let options = [
            "-F", "none", "-i", "/run/key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
        ]
        static var remoteShell: String { "ssh -p \(port) " + options.joined(separator: " ") }

        /// Starts an sshd that lets the client's key in.
        static func startServer(_ test: UnderTest) throws -> LabProcess {
            try test.client.succeed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/key"])
            let key = try test.client.succeed(["cat", "/run/key.pub"])
            try test.server.succeed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/hostkey"])
            try test.server.succeed(["tee", "/run/authorized"], input: .bytes(Array(key.utf8)))
            return try test.serve(
                [
                    "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "\(port)", "-h", "/run/hostkey",
                    "-o", "AuthorizedKeysFile=/run/authorized", "-o", "StrictModes=no", "-o", "UseDNS=no",
                    "-o", "PermitRootLogin=yes", "-o", "PidFile=none", "-o", "UsePAM=yes",
                    "-o", "Subsystem=sftp internal-sftp",
                ], port: port)
        }

        static func ssh(_ command: [String], to host: String = "server") -> [String] {
            ["ssh", "-p", "\(port)"] + options + ["root@\(host)"] + command
        }

        @Test(arguments: Mode.allCases)
        func sessionsWorkAndTellTheExitStatus(mode: Mode) throws {
            try UnderTest.with(mode) { test in
                let server = try Self.startServer(test)
                #expect(try test.run(Self.ssh(["echo", "hello"])) == "hello\n")
                let outcome = try test.client.run(
                    test.prefix + Self.ssh(["cat; exit 7"]), input: .bytes(Array("in".utf8)))
                #expect(outcome.status == .exited(7))
                #expect(outcome.output == "in")
                // A second of small messages each way, as of somebody who types.
                let typing = "for i in $(seq 50); do echo $i; sleep 0.02; done"
                let lines = try test.script("\(typing) | \"$@\" \(Self.remoteShell) root@server cat")
                #expect(lines == (1...50).map { "\($0)\n" }.joined())
                server.terminate()
            }
        }

        /// The front has the server's usual port; whoever asks there gets a session, and everybody else the server.
        @Test func behindAFront() throws {
            try UnderTest.withoutGateway { test in
                let server = try Self.startServer(test)
                let usl = try UnderTest.usl()
                let gateway = try test.server.start([
                    usl, "gateway", "--listen", "0.0.0.0:7200", "[::]:7200", "--state", "/run/state",
                    "--front", "22=localhost:\(Self.port)",
                ])
                try test.server.waitForListener(port: 22)
                for prefix in [[], [usl, "--detection", "probe", "-v", "--"]] {
                    let outcome = try test.client.run(
                        prefix + ["ssh"] + Self.options + ["root@server", "echo", "hello"])
                    #expect(outcome.status == .success && outcome.output == "hello\n", "\(outcome.errors)")
                    #expect(outcome.errors.contains(": session ") == !prefix.isEmpty, "\(outcome.errors)")
                }
                gateway.terminate()
                server.terminate()
            }
        }

        @Test(arguments: Mode.allCases)
        func scpCopiesBothWays(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try Self.startServer(test)
                try test.client.makeRandomFile("/run/up", megabytes: 64)
                let scp = ["scp", "-q", "-P", "\(Self.port)"] + Self.options
                try test.run(scp + ["/run/up", "root@server:/run/stored"])
                try test.run(scp + ["root@server:/run/stored", "/run/down"])
                let digest = try test.client.digest("/run/up")
                #expect(try test.server.digest("/run/stored") == digest)
                #expect(try test.client.digest("/run/down") == digest)
                server.terminate()
            }
        }

        @Test(arguments: Mode.allCases)
        func rsyncCopiesATree(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try Self.startServer(test)
                let tree = """
                    mkdir -p /run/tree/{a,b}/{c,d}
                    for i in $(seq 200); do head -c $((i * 100)) /dev/urandom >/run/tree/a/c/$i; done
                    head -c 30000000 /dev/urandom >/run/tree/b/large
                    """
                let digests = "cd /run/tree && find . -type f | sort | xargs sha256sum"
                try test.client.succeed(["/bin/bash", "-c", tree])
                try test.run(["rsync", "-a", "-e", Self.remoteShell, "/run/tree", "root@server:/run/"])
                let stored = try test.server.succeed(["/bin/bash", "-c", digests])
                #expect(try test.client.succeed(["/bin/bash", "-c", digests]) == stored)
                server.terminate()
            }
        }

        @Test(arguments: Mode.allCases)
        func gitClones(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try Self.startServer(test)
                let repository = """
                    git init -q /run/repository && cd /run/repository
                    for i in $(seq 20); do
                        head -c 1000000 /dev/urandom >file$i
                        git add . && git -c user.name=a -c user.email=a@b.example commit -q -m $i
                    done
                    git rev-parse HEAD
                    """
                let head = try test.server.succeed(["/bin/bash", "-c", repository])
                try test.run(
                    ["git", "clone", "-q", "ssh://root@server:\(Self.port)/run/repository", "/run/clone"],
                    environment: ["GIT_SSH_COMMAND": "ssh " + Self.options.joined(separator: " ")])
                #expect(try test.client.succeed(["git", "-C", "/run/clone", "rev-parse", "HEAD"]) == head)
                try test.client.succeed(["git", "-C", "/run/clone", "fsck", "--strict"])
                server.terminate()
            }
        }
    }
}
