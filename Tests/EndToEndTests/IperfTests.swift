import NetworkLab
import Testing

extension EndToEnd {
    @Suite struct IperfTests {
        @Test(arguments: Mode.allCases, [[], ["--reverse"], ["--bidir", "--parallel", "2"]])
        func itMeasures(mode: Mode, options: [String]) throws {
            try UnderTest.with(mode) { test in
                let server = try test.serve(["iperf3", "--server", "--one-off"], port: 5201)
                let report = try test.run(["iperf3", "--client", "server", "--time", "2"] + options)
                #expect(report.contains("iperf Done."))
                #expect(try server.wait(.seconds(10)) == .success)
            }
        }

        /// More than a short path needs would wait in queues, and cost the cache. It may be 16 MiB.
        @Test func aShortPathNeedsLittleReplayMemory() throws {
            try UnderTest.with(.usl) { test in
                _ = try test.serve(["iperf3", "--server", "--one-off"], port: 5201)
                let transfer = try test.client.start(test.prefix + ["iperf3", "--client", "server", "--time", "3"])
                var largest = 0
                while transfer.ended == nil {
                    let status = try test.client.succeed([try UnderTest.usl(), "status", "--json"])
                    largest = max(largest, SessionStatus.replayBytes(in: status))
                }
                #expect(transfer.ended == .success)
                #expect((256 << 10...4 << 20).contains(largest), "\(largest) bytes")
            }
        }
    }
}
