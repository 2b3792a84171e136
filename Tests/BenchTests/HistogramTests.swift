import Testing

@testable import Bench

@Suite("Histogram")
struct HistogramTests {
    @Test("values are known to within 0.8 %, whatever their size", arguments: 0..<60)
    func isPrecise(bit: Int) {
        let power: UInt64 = 1 << bit
        for value: UInt64 in [power, power + power / 3] {
            var histogram = Histogram()
            histogram.record(value)
            // Another one above, so that the bucket's end is told and not the most that was seen.
            histogram.record(value * 4)
            let found = histogram.percentile(0.5)
            #expect(found >= value)
            #expect(Double(found) <= Double(value) * 1.008)
        }
    }

    @Test("percentiles are those of sorted values")
    func percentiles() {
        var histogram = Histogram()
        for value in UInt64(1)...200 { histogram.record(value) }
        #expect(histogram.count == 200)
        #expect(histogram.percentile(0.5) == 100)
        #expect(histogram.percentile(0.99) == 198)
        #expect(histogram.percentile(0.999) == 200)
        #expect(histogram.percentile(0) == 1)
        #expect(histogram.percentile(1) == 200)
        #expect(histogram.most == 200)
    }

    @Test("of nothing, everything is 0")
    func empty() {
        #expect(Histogram().percentile(0.5) == 0)
        #expect(Histogram().count == 0)
    }

    @Test("two become one")
    func adding() {
        var (first, second) = (Histogram(), Histogram())
        for value in UInt64(1)...100 { first.record(value) }
        for value in UInt64(101)...200 { second.record(value) }
        first.add(second)
        #expect(first.percentile(0.5) == 100)
        #expect(first.most == 200)
    }

    @Test("the largest value there is has its place")
    func largest() {
        var histogram = Histogram()
        histogram.record(.max)
        #expect(histogram.percentile(0.5) == .max)
    }
}
