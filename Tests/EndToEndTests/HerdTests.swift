import CLinux
import NetworkLab
import Testing

extension EndToEnd {
    /// Sessions that lose their links all at once.
    @Suite struct HerdTests {
        /// More than a gateway lets one address dial at a time: none of them is turned away, and none is lost.
        @Test func aHerdComesBack() throws {
            try UnderTest.withoutGateway { test in
                let count = 600
                let (tool, usl) = (try LabTool.path(), try UnderTest.usl())
                _ = try test.startGateway()
                try test.server.start([tool, "crowd", "serve", "7000"]).waitForOutput("serving")
                let forward = try test.client.start(
                    [
                        usl, "forward", "--plain", "--state", "/run/state", "--gateway",
                        "\(test.server.address):\(UnderTest.gatewayPort)",
                    ]
                        + ["127.0.0.1:9000", "\(test.server.address):7000"])
                try test.client.waitForListener(port: 9000)
                let crowd = try test.client.start([tool, "crowd", "run", "127.0.0.1", "9000", "\(count)"])
                try crowd.waitForOutput("connected", within: .seconds(60))
                for number in 1...3 {
                    try test.client.succeed(["ss", "-H", "-K", "-t", "state", "established", "( dport = :7117 )"])
                    crowd.signal(SIGUSR1)
                    try waitUntil("everybody's answer", within: .seconds(60)) {
                        CrowdClient.Round.count(in: crowd.standardOutput) == number
                    }
                    let round = try #require(CrowdClient.Round(lastOf: crowd.standardOutput))
                    #expect(round.lost == 0)
                }
                let status = try test.server.succeed([usl, "status"])
                #expect(!status.contains("turned away"), "\(status)")
                #expect(forward.ended == nil)
            }
        }
    }
}
