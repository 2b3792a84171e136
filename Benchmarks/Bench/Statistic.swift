/// What several measurements of the same thing say together.
struct Statistic: Equatable {
    let values: [Double]

    /// Nil of none.
    init?(_ values: [Double]) {
        if values.isEmpty { return nil }
        self.values = values.sorted()
    }

    var least: Double { values[0] }
    var most: Double { values[values.count - 1] }

    /// Of an even number, the mean of the two in the middle.
    var median: Double { (values[(values.count - 1) / 2] + values[values.count / 2]) / 2 }
}

/// Numbers for people: three digits that count.
func rounded(_ value: Double) -> String {
    let size = abs(value)
    let decimals = size == 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3
    return fixed(value, decimals)
}

/// A number with so many decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
    let scale = (0..<decimals).reduce(1.0) { scale, _ in scale * 10 }
    let units = Int((abs(value) * scale).rounded())
    let digits = String(units)
    let sign = value < 0 && units > 0 ? "-" : ""
    if decimals == 0 { return sign + digits }
    let padded = String(repeating: "0", count: max(0, decimals + 1 - digits.count)) + digits
    return sign + padded.dropLast(decimals) + "." + padded.suffix(decimals)
}
