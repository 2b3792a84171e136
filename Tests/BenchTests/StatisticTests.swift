import Testing

@testable import Bench

@Suite("Statistics of runs")
struct StatisticTests {
    @Test func medianAndSpread() throws {
        #expect(Statistic([]) == nil)
        let odd = try #require(Statistic([3, 1, 2]))
        #expect((odd.least, odd.median, odd.most) == (1, 2, 3))
        #expect(try #require(Statistic([4, 1, 3, 2])).median == 2.5)
    }

    @Test(arguments: [
        (0.0, "0"), (0.01234, "0.012"), (1.234, "1.23"), (12.34, "12.3"), (123.4, "123"), (12345, "12345"),
        (9.999, "10.00"), (-0.5, "-0.500"),
    ])
    func digitsThatCount(value: Double, text: String) {
        #expect(rounded(value) == text)
    }

    @Test func decimals() {
        #expect(fixed(0.05, 1) == "0.1")
        #expect(fixed(-0.001, 2) == "0.00")
        #expect(fixed(12, 0) == "12")
    }

    @Test("ours runs behind each other contender, and what encrypts behind what encrypts")
    func order() {
        #expect(
            Series.round([.direct, .haproxy, .stunnel, .socat, .session, .encryptedSession])
                == [.direct, .haproxy, .session, .stunnel, .encryptedSession, .socat, .session])
        #expect(Series.round([.direct, .session]) == [.direct, .session])
        #expect(Series.round([.haproxy, .stunnel, .session]) == [.haproxy, .session, .stunnel])
        #expect(Series.round([]).isEmpty)
    }

    private func run(_ kind: Contender.Kind, _ round: Int, _ place: Int, _ value: Double) -> Series.Run {
        Series.Run(workload: "w", contender: kind, round: round, place: place, values: [.throughput: value])
    }

    @Test("a ratio is that of neighbours, and to direct that of a round")
    func ratios() throws {
        let series = Series([
            run(.direct, 1, 0, 100), run(.haproxy, 1, 1, 10), run(.session, 1, 2, 20), run(.socat, 1, 3, 5),
            run(.session, 1, 4, 30),
            run(.direct, 2, 0, 50), run(.haproxy, 2, 1, 10), run(.session, 2, 2, 10), run(.socat, 2, 3, 5),
            run(.session, 2, 4, 10),
        ])
        #expect(try #require(series.ratio("w", to: .haproxy, .throughput)).values == [1, 2])
        #expect(try #require(series.ratio("w", to: .socat, .throughput)).values == [2, 6])
        #expect(try #require(series.ratio("w", to: .direct, .throughput)).values == [0.2, 0.25])
        #expect(try #require(series.ratio("w", of: .haproxy, to: .direct, .throughput)).values == [0.1, 0.2])
        #expect(series.ratio("w", to: .stunnel, .throughput) == nil)
        #expect(series.ratio("w", to: .haproxy, .median) == nil)
        #expect(try #require(series.statistic("w", .session, .throughput)).median == 15)
    }

    @Test("what processes used is a median by name, of runs in which it was seen")
    func processors() {
        var (first, second, third) = (run(.session, 1, 0, 1), run(.session, 2, 0, 1), run(.session, 3, 0, 1))
        first.processors = ["usl-agent": 1, "usl": 3]
        second.processors = ["usl-agent": 2]
        third.processors = [:]
        let found = Series([first, second, third]).processors("w", .session)
        #expect(found.map(\.name) == ["usl", "usl-agent"])
        #expect(found.map(\.seconds) == [1.5, 1.5])
    }
}
