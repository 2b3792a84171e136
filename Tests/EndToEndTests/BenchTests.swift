import Kernel
import NetworkLab
import Testing

extension EndToEnd {
    /// The bench program, as small as it can be: so that it cannot rot between two runs of `make bench`.
    @Suite struct BenchTests {
        @Test func itMeasuresWhatIsThere() throws {
            let usl = try UnderTest.usl()
            try Lab.with(hosts: ["machine"]) { lab in
                let host = lab["machine"]
                let outcome = try host.run(
                    [
                        try LabTool.path("usl-bench"), "--usl", usl, "--parts", "relays", "--contenders", "direct",
                        "USL",
                        "--workloads", "one way, 1", "ping 64 B", "--rounds", "1", "--seconds", "0.2", "--output",
                        "/run/bench",
                    ], within: .seconds(60))
                #expect(outcome.status == .success, "\(outcome.output)\(outcome.errors)")
                #expect(outcome.output.contains("| USL ÷ direct | "))
                let results = try host.succeed(["cat", "/run/bench/results.json"])
                #expect(results.contains("\"contender\": \"USL\""))
                #expect(try host.succeed(["cat", "/run/bench/results.svg"]).contains("64-byte ping-pong"))
            }
        }

        @Test func aContenderThatFailsIsAnError() throws {
            try Lab.with(hosts: ["machine"]) { lab in
                let outcome = try lab["machine"].run(
                    [
                        try LabTool.path("usl-bench"), "--usl", "/bin/false", "--parts", "relays", "--contenders",
                        "USL",
                        "--workloads", "ping 64 B", "--rounds", "1", "--output", "/run/bench",
                    ], within: .seconds(60))
                #expect(outcome.status == .exited(1))
                #expect(outcome.errors.contains("USL does not start"))
            }
        }
    }
}
