import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    @Suite struct RedisTests {
        @Test(arguments: Mode.allCases)
        func clientAndBenchmark(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let options = ["--bind", "*", "--protected-mode", "no", "--save", "", "--dir", "/run"]
                let server = try test.serve(["redis-server", "--port", "6379"] + options, port: 6379)
                let client = ["redis-cli", "-h", "server"]
                #expect(try test.run(client + ["set", "key", "value"]) == "OK\n")
                #expect(try test.run(client + ["get", "key"]) == "value\n")

                // A value of 8 MB there and back, and a script whose commands depend on each other.
                try test.client.makeRandomFile("/run/value", megabytes: 8)
                try test.script(#""$@" redis-cli -h server -x set large </run/value"#)
                let back = try test.script(#""$@" redis-cli -h server get large | head -c -1 | sha256sum"#)
                #expect(back.prefix(64) == (try test.client.digest("/run/value")))
                let counting = String(repeating: "incr counter\n", count: 2000)
                let counted = try test.run(client, input: .bytes(Array(counting.utf8)))
                #expect(counted.hasSuffix("\n2000\n"))

                // Fifty connections at once.
                let report = try test.run(
                    ["redis-benchmark", "-h", "server", "-t", "set,get,lpush", "-n", "20000", "-c", "50", "--csv"])
                #expect(report.split(separator: "\n").count == 4)
                #expect(!report.contains("rror"))
                server.terminate()
            }
        }
    }

    /// initdb refuses to run as root, and the lab of an ordinary user has no other user.
    @Suite(.enabled(if: geteuid() == 0, "PostgreSQL's server needs a user of its own")) struct PostgresTests {
        static func startServer(_ test: UnderTest) throws -> LabProcess {
            let folder = try test.server.succeed(["/bin/bash", "-c", "ls -d /usr/lib/postgresql/*/bin | tail -n 1"])
                .dropLast()
            let asPostgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            try test.server.succeed(["install", "-d", "-o", "postgres", "/run/data", "/run/sockets"])
            try test.server.succeed(
                asPostgres + ["\(folder)/initdb", "-D", "/run/data", "-A", "trust", "--no-sync", "-E", "UTF8"])
            let rule = "host all all all trust"
            try test.server.succeed(["tee", "-a", "/run/data/pg_hba.conf"], input: .bytes(Array((rule + "\n").utf8)))
            // Dynamic shared memory in files of the data folder: in /dev/shm it would outlive a killed server.
            let options = ["listen_addresses=*", "fsync=off", "dynamic_shared_memory_type=mmap"]
            return try test.serve(
                asPostgres + ["\(folder)/postgres", "-D", "/run/data", "-k", "/run/sockets"]
                    + options.flatMap { ["-c", $0] },
                port: 5432)
        }

        @Test(arguments: Mode.allCases)
        func psqlAndPgbench(mode: Mode) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try Self.startServer(test)
                let user = ["-h", "server", "-U", "postgres"]
                #expect(try test.run(["psql"] + user + ["-qAtc", "select 6 * 7"]) == "42\n")
                // 30 MB of rows, checked by their digest.
                let rows = "select md5(i::text) from generate_series(1, 1000000) i"
                let digest = try test.script("\"$@\" psql \(user.joined(separator: " ")) -qAtc '\(rows)' | sha256sum")
                let expected = try test.client.succeed([
                    "/usr/bin/python3", "-c",
                    """
                    import hashlib
                    rows = hashlib.sha256()
                    for i in range(1, 1000001): rows.update((hashlib.md5(str(i).encode()).hexdigest() + '\\n').encode())
                    print(rows.hexdigest())
                    """,
                ])
                #expect(digest.prefix(64) == expected.dropLast())

                try test.run(["pgbench"] + user + ["-i", "-q", "-s", "2", "postgres"])
                let report = try test.run(["pgbench"] + user + ["-c", "4", "-j", "2", "-T", "5", "postgres"])
                #expect(report.contains("number of failed transactions: 0 (0.000%)"))
                // Every transaction that was reported as done is in the database exactly once.
                let counted = try test.run(["psql"] + user + ["-qAtc", "select count(*) from pgbench_history"])
                #expect(report.contains("number of transactions actually processed: \(counted)"))
                server.terminate()
            }
        }
    }
}
