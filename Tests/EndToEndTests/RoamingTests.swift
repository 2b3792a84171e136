import CLinux
import NetworkLab
import Testing

/// A client that changes its place under bulk transfers both ways, and pauses by the clock.
@Suite(.timeLimit(.minutes(5)))
struct RoamingTests {
    /// How long a conversation may stand still once the new address is usable.
    private static let limit = Duration.seconds(1)

    /// Lets `move` happen under traffic, some times over.
    ///
    /// - Parameters:
    ///   - move: what happens to the client; returns when its network is usable again.
    private func roam(
        interfaces: Int = 1, options: [String] = [], times: Int = 3,
        _ move: @escaping @Sendable (FaultSite, Int) throws -> Void
    ) async throws {
        let usl = try UnderTest.usl()
        try await Lanes.shared.run {
            var site = FaultSite.Options()
            site.interfaces = interfaces
            site.clientOptions = options
            return try FaultSite.with(usl: usl, site) { site in
                let orders = [
                    TrafficOrder.bulk(id: 1, up: 20_000_000, down: 20_000_000),
                    .pingPong(id: 2, for: .seconds(Double(times) * 1.5 + 1), pause: .milliseconds(2)),
                ]
                let client = try site.start(orders)
                try site.waitForConversation()
                var usable: [Int] = []
                for time in 0..<times {
                    try move(site, time)
                    usable.append(Int(labNow()))
                    usleep(1_200_000)
                }
                var findings = try site.findings(client, within: .seconds(60))
                let pauses = TrafficReport(client.standardOutput).pauses
                let after = usable.map { usable in
                    pauses.filter { $0.begin <= usable && $0.begin + $0.length > usable }
                        .map { Duration.nanoseconds($0.begin + $0.length - usable) }.max() ?? .zero
                }
                findings += after.filter { $0 > Self.limit }.map { "\($0) until the conversation went on" }
                return findings
            }
        }
    }

    @Test func anAddressThatChanges() async throws {
        try await roam { site, time in
            try site.client.removeAddresses()
            usleep(200_000)
            try site.client.bringUp(end: 3 + time)
        }
    }

    /// The old address is gone only when the new one is there already: nothing fails, and nobody is told but by rtnetlink.
    @Test func anAddressThatIsReplaced() async throws {
        try await roam { site, time in
            let old = time == 0 ? 2 : 2 + time
            try site.client.succeed(["ip", "address", "add", "10.77.1.\(3 + time)/24", "dev", "eth0"])
            try site.client.succeed(["ip", "address", "del", "10.77.1.\(old)/24", "dev", "eth0"])
            try site.client.bringUp(end: 3 + time)
        }
    }

    @Test func anInterfaceThatGoesDownAndUp() async throws {
        try await roam { site, _ in
            try site.client.takeDown()
            usleep(300_000)
            try site.client.bringUp()
        }
    }

    @Test func aMoveToAnotherInterface() async throws {
        try await roam(interfaces: 2) { site, time in
            let (old, new) = (time % 2, 1 - time % 2)
            if time > 0 { try site.client.bringUp(new) }
            // The other network is known to work before the first is left: the kernel asks once a second for a neighbour.
            try site.client.succeed(["ping", "-q", "-c", "1", "-w", "5", "10.\(77 + new).1.1"])
            try site.client.takeDown(old)
        }
    }

    /// The address stays, but leads nowhere any more; what is new is the route.
    @Test func aDefaultRouteThatIsReplaced() async throws {
        try await roam(interfaces: 2) { site, time in
            let (old, new) = (time % 2, 1 - time % 2)
            try site.lab.path("client", new).set(.rate(.megabits(100)))
            try site.lab.path("client", old).set(.silence)
            try site.client.succeed([
                "ip", "route", "replace", "default", "via", "10.\(77 + new).1.1", "dev", "eth\(new)", "metric", "50",
            ])
        }
    }
}

extension FaultSite {
    /// Waits until packets flow both ways on some interface.
    fileprivate func waitForConversation() throws {
        try waitUntil("traffic", within: .seconds(20)) { () throws(LabError) in
            let counts = try lab.path("client").counts()
            return counts.out.passed > 200 && counts.back.passed > 200
        }
    }
}
