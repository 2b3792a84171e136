import Testing

@testable import NetworkLab

/// The lab's own applications, and the verdict on what they tell.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct TrafficTests {
    @Test func ordersSurviveTheirEncodings() {
        var chance = LabChance(seed: 1)
        for _ in 0..<200 {
            let order = TrafficOrder.random(&chance, seconds: 2)
            #expect(TrafficOrder(text: order.text) == order)
            #expect(TrafficOrder(encoded: order.encoded) == order)
        }
        for text in ["", "1,2,3", "1,0,0,0,0,0,0,0,0,0", "1,0,0,2000000,0,0,0,0,0,0"] {
            #expect(TrafficOrder(text: text) == nil)
        }
    }

    @Test func contentDependsOnItsPositionAlone() {
        func content(_ pieces: [Int]) -> [UInt8] {
            var content = TrafficContent(seed: 7)
            return pieces.flatMap { count in
                var bytes = [UInt8](repeating: 0, count: count)
                bytes.withUnsafeMutableBytes { content.fill($0) }
                return bytes
            }
        }
        #expect(content([1, 2, 3, 5, 8, 13, 21]) == content([53]))
    }

    @Test func everythingIsCheckedAtBothEnds() throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let tool = try LabTool.path()
            let server = try lab["server"].start([tool, "traffic", "serve", "7000"])
            try server.waitForOutput("serving")
            var halfClosed = TrafficOrder.bulk(id: 2, up: 100_000, down: 100_001)
            halfClosed.inTurn = true
            let orders = [
                TrafficOrder.bulk(id: 1, up: 3_000_000, down: 2_000_001), halfClosed,
                .trickle(id: 3, for: .milliseconds(100)), .pingPong(id: 4, for: .milliseconds(100), size: 100),
                .bulk(id: 5, up: 0, down: 0),
            ]
            let outcome = try lab["client"].run(
                [tool, "traffic", "run", lab["server"].address, "7000"] + orders.map(\.text))
            #expect(outcome.status == .success, "\(outcome.output)")
            let client = TrafficReport(outcome.output)
            try waitUntil("the server's end", within: .seconds(5)) {
                TrafficReport(server.standardOutput).connections.count == orders.count
            }
            let report = TrafficReport(server.standardOutput)
            #expect(TrafficReport.findings(client: client, server: report).isEmpty)
            #expect(client.connections[1]?.sent == 3_000_000 && client.connections[1]?.received == 2_000_001)
            #expect((client.connections[4]?.trips ?? 0) > 10)
        }
    }

    @Test func whatIsCutShortIsFound() throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let tool = try LabTool.path()
            let server = try lab["server"].start([tool, "traffic", "serve", "7000"])
            try server.waitForOutput("serving")
            let order = TrafficOrder.bulk(id: 1, up: 1 << 40, down: 1 << 40)
            let client = try lab["client"].start(
                [tool, "traffic", "run", lab["server"].address, "7000", order.text])
            let attack = try lab.attack(.socketKill(host: "client", port: 7000, every: .milliseconds(100)))
            defer { attack.stop() }
            #expect(try client.wait(.seconds(5)) == .exited(1))
            let report = TrafficReport(client.standardOutput)
            #expect(!TrafficReport.findings(client: report, server: TrafficReport("")).isEmpty)
        }
    }

    @Test func differencesAreFound() {
        let client = TrafficReport("done 1 5 aa 7 bb 0 0 0\ndone 2 5 aa 7 bb 0 0 0\npause 1 100 20\n")
        func findings(_ server: String) -> Int {
            TrafficReport.findings(client: client, server: TrafficReport(server)).count
        }
        #expect(findings("done 1 7 bb 5 aa 0 0 0\ndone 2 7 bb 5 aa 0 0 0\n") == 0)
        #expect(findings("done 1 7 bb 5 aa 0 0 0\n") == 1)
        #expect(findings("done 1 7 bb 5 ab 0 0 0\ndone 2 7 bb 4 aa 0 0 0\n") == 2)
        #expect(findings("done 1 7 bb 5 aa 0 0 0\nfailed 2 reset by peer\n") == 2)
        #expect(client.pauses.count == 1 && client.bytes == 24)
    }
}
