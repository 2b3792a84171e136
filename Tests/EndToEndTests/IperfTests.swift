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
    }
}
