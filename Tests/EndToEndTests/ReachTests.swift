import CLinux
import NetworkLab
import TestSupport
import Testing

extension EndToEnd {
    /// What `auto` takes for a program, what is said of it, and that the program works, whether or not it is reached.
    @Suite struct ReachTests {
        /// A server with a file, a gateway, and a program on the client.
        private struct Site {
            let test: UnderTest
            let program: String

            /// Downloads, and tells what was said.
            func download(_ before: [String] = [], _ options: [String] = [], as file: String = "/run/file") throws
                -> Host.Outcome
            {
                let command = [program, test.server.address, "8000", "file", file]
                let outcome = try test.client.run(before + test.prefix(["-v"] + options) + command)
                #expect(outcome.status == .success, "\(outcome.errors)")
                #expect(outcome.output.hasSuffix(", connected to \(test.server.address)\n"), "\(outcome.output)")
                #expect(try test.client.digest(file) == test.server.digest("/run/site/file"))
                return outcome
            }
        }

        /// - Parameter make: makes the program in a directory.
        private func with(_ make: (String) throws -> String, _ body: (Site) throws -> Void) throws {
            let directory = try TemporaryDirectory()
            let program = try make(directory.path)
            try UnderTest.withoutGateway { test in
                _ = try test.startGateway()
                try test.server.succeed(["mkdir", "/run/site"])
                try test.server.makeRandomFile("/run/site/file", megabytes: 4)
                let server = try test.serve(
                    ["/usr/bin/python3", "-m", "http.server", "8000"], port: 8000, directory: "/run/site")
                try body(Site(test: test, program: program))
                server.terminate()
            }
        }

        private func expectSession(_ outcome: Host.Outcome, _ expected: Bool = true) {
            #expect(outcome.errors.contains(": session ") == expected, "\(outcome.errors)")
        }

        @Test(.enabled(if: getenv("USL_TEST_ALL") != nil), arguments: [[], ["-static"]])
        func musl(options: [String]) throws {
            try with({ try ProbeProgram.compileC(["download"], $0, options, compiler: "musl-gcc") }) { site in
                let auto = try site.download()
                let reason =
                    options.isEmpty
                    ? "it has another libc than USL (/lib/ld-musl-x86_64.so.1)" : "it is statically linked"
                #expect(auto.errors.contains("intercepted by donate, as \(reason)"), "\(auto.errors)")
                expectSession(auto)
                expectSession(try site.download([], ["--intercept", "seccomp"]))
                let preload = try site.download([], ["--intercept", "preload"])
                expectSession(preload, false)
                #expect(preload.errors.contains("\(reason); its connections go past USL"), "\(preload.errors)")
            }
        }

        @Test(.enabled(if: getenv("USL_TEST_ALL") != nil), arguments: [[], ["-static"]])
        func thirtyTwoBits(options: [String]) throws {
            try with({ try ProbeProgram.compileC(["download"], $0, ["-m32"] + options) }) { site in
                for mode in ["auto", "preload", "donate", "seccomp"] {
                    let outcome = try site.download([], ["--intercept", mode])
                    expectSession(outcome, false)
                    #expect(
                        outcome.errors.contains("it is a 32-bit program, and USL is one of 64 bits; its connections "),
                        "\(mode): \(outcome.errors)")
                }
            }
        }

        /// It keeps what it gets from its file, and goes past USL, unless a trap was asked for.
        @Test(.enabled(if: geteuid() == 0, "the lab of an ordinary user has no other users"))
        func setUserID() throws {
            try with({ try ProbeProgram.compileC(["download"], $0) }) { site in
                try site.test.client.succeed(["install", "-m", "4755", "-o", "games", site.program, "/run/setuid"])
                try site.test.client.succeed(["install", "-d", "-m", "777", "/run/open"])
                let site = Site(test: site.test, program: "/run/setuid")
                let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/nonexistent"]
                for (mode, identity) in [("auto", "user 5,"), ("donate", "user 65534,"), ("seccomp", "user 65534,")] {
                    let outcome = try site.download(user, ["--intercept", mode], as: "/run/open/\(mode)")
                    #expect(outcome.output.hasPrefix(identity), "\(outcome.output)")
                    expectSession(outcome, mode != "auto")
                    let said =
                        mode == "auto"
                        ? "and so loads no library; its connections go past USL" : "but not under --intercept \(mode)"
                    #expect(
                        outcome.errors.contains("it changes its user or group when it starts, \(said)"),
                        "\(outcome.errors)")
                }
            }
        }

        /// A root's program that becomes another user's, as su(1) does, is reached by what does not depend on its user.
        @Test(.enabled(if: geteuid() == 0, "su needs root"), arguments: ["donate", "seccomp"])
        func anotherUser(mode: String) throws {
            try with({ try ProbeProgram.compileC(["download"], $0) }) { site in
                let test = site.test
                try test.client.succeed(["install", "-d", "-m", "777", "/run/open"])
                try test.client.succeed(["install", "-m", "755", site.program, "/run/download"])
                let command = "/run/download \(test.server.address) 8000 file /run/open/file"
                let outcome = try test.client.run(
                    test.prefix(["-v", "--intercept", mode]) + ["su", "nobody", "-s", "/bin/sh", "-c", command])
                #expect(outcome.status == .success && outcome.output.hasPrefix("user 65534,"), "\(outcome.errors)")
                expectSession(outcome)
                #expect(try test.client.digest("/run/open/file") == test.server.digest("/run/site/file"))
            }
        }

        /// Where user namespaces cannot be made, and where nothing can.
        @Test func fallingBack() throws {
            try with({ try ProbeProgram.compileC(["download"], $0, ["-static"]) }) { site in
                // The limit belongs to the user namespace that is made for it (user_namespaces(7)).
                let without = [
                    "unshare", "--user", "--map-root-user", "/bin/sh", "-ec",
                    "echo 0 >/proc/sys/user/max_user_namespaces; exec \"$@\"", "sh",
                ]
                let lack = "donate: make a user namespace and a network namespace: No space left on device"
                let next = try site.download(without)
                #expect(next.errors.contains("intercepted by seccomp (\(lack))"), "\(next.errors)")
                expectSession(next)
                let silent = try site.test.client.run(
                    without + site.test.prefix + [site.program, site.test.server.address, "8000", "file", "/run/file"])
                #expect(silent.status == .success && silent.errors == "", "\(silent.errors)")
                let named = try site.test.client.run(without + site.test.prefix(["--intercept", "donate"]) + ["true"])
                #expect(named.status == .exited(125))
                #expect(named.errors == "usl: cannot intercept the connections of 'true': \(lack)\n", "\(named.errors)")

                // Under the trap of something that does not say that it is one, as a container's may be.
                let occupied =
                    try site.test.prefix(["--intercept", "seccomp", "--treatment", "direct"]) + [
                        "env", "-u", "USL_TRAPPED",
                    ]
                let none = try site.download(occupied + without)
                let busy = "seccomp: another supervisor is in charge of this process already"
                #expect(
                    none.errors.contains("it is statically linked; its connections go past USL")
                        && none.errors.contains("(\(lack); \(busy))\n"), "\(none.errors)")
                expectSession(none, false)
                let both = try site.test.client.run(occupied + site.test.prefix(["--intercept", "seccomp"]) + ["true"])
                #expect(both.status == .exited(125) && both.errors.contains(busy), "\(both.errors)")
            }
        }

        /// USL in USL: one of them has the program's connections, whichever modes and programs meet.
        @Test(arguments: ["preload", "donate", "seccomp"]) func nested(outer: String) throws {
            for options in [[], ["-static"]] {
                try with({ try ProbeProgram.compileC(["download"], $0, options) }) { site in
                    for inner in ["auto", "donate", "seccomp"] {
                        // A program can have one trap.
                        if outer != "preload", inner != "auto" { continue }
                        let outcome = try site.download(
                            try site.test.prefix(["-v", "--intercept", outer]), ["--intercept", inner])
                        #expect(outcome.errors.split(separator: ": session ").count == 2, "\(inner): \(outcome.errors)")
                        #expect(!outcome.errors.contains("listens at"), "\(outcome.errors)")
                        #expect(
                            outcome.errors.contains("another usl intercepts it already (by \(outer))")
                                == (outer != "preload"),
                            "\(outcome.errors)")
                    }
                }
            }
        }
    }
}
