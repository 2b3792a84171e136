/// What the load generator does through each contender.
struct Workload: Equatable {
    enum Load: Equatable {
        /// Bytes, so many at a time, on so many connections.
        case bulk(size: Int, connections: Int, both: Bool)
        /// Messages there and back, one after the other on each connection; with one more connection in bulk beside them, or
        /// without.
        case ping(size: Int, connections: Int = 1, besideBulk: Bool = false)
        /// Connections, one after the other on so many threads.
        case connect(threads: Int)
    }

    let name: String
    let load: Load

    private static let large = LoadConnection.bufferSize

    static func oneWay(_ connections: Int) -> Workload {
        Workload(name: "one way, \(connections)", load: .bulk(size: large, connections: connections, both: false))
    }

    static func bothWays(_ connections: Int) -> Workload {
        Workload(name: "both ways, \(connections)", load: .bulk(size: large, connections: connections, both: true))
    }

    static let all: [Workload] =
        [1, 8, 64].map(oneWay) + [1, 8, 64].map(bothWays) + [
            Workload(name: "ping 64 B", load: .ping(size: 64)),
            Workload(name: "ping 16 KiB", load: .ping(size: 16 << 10)),
            Workload(name: "8 pings beside bulk", load: .ping(size: 64, connections: 8, besideBulk: true)),
            Workload(name: "connect", load: .connect(threads: 1)),
            Workload(name: "connect, 8", load: .connect(threads: 8)),
            Workload(name: "writes of 1 B", load: .bulk(size: 1, connections: 1, both: false)),
            Workload(name: "writes of 64 B", load: .bulk(size: 64, connections: 1, both: false)),
            Workload(name: "writes of 1 KiB", load: .bulk(size: 1024, connections: 1, both: false)),
        ]

    /// Those of a run of three minutes.
    static let few = all.filter {
        ["one way, 1", "one way, 8", "ping 64 B", "connect", "writes of 64 B"].contains($0.name)
    }

    /// The arguments of `usl-bench load`.
    func command(_ entrance: Contender.Entrance, seconds: Double) -> [String] {
        let target = [entrance.address, "\(entrance.port)", "--seconds", "\(seconds)"]
        switch load {
        case .bulk(let size, let connections, let both):
            return ["bulk"] + target + ["--size", "\(size)", "--connections", "\(connections)"]
                + (both ? ["--both"] : [])
        case .ping(let size, let connections, let besideBulk):
            return ["ping"] + target + ["--size", "\(size)", "--connections", "\(connections)"]
                + (besideBulk ? ["--beside-bulk"] : [])
        case .connect(let threads): return ["connect"] + target + ["--connections", "\(threads)"]
        }
    }

    /// What an outcome says.
    func values(_ outcome: LoadOutcome, processors: [String: Double]?) -> [Metric: Double] {
        var values: [Metric: Double] = [:]
        switch outcome {
        case .bulk(let begin, let end, let bytes):
            let seconds = Double(end - begin) / 1e9
            values[.throughput] = Double(bytes) * 8 / seconds / 1e9
            if case .bulk(let size, _, _) = load { values[.messages] = Double(bytes) / Double(size) / seconds }
            if let processors {
                values[.processorTime] = processors.values.reduce(0, +) / (Double(bytes) / 0x1p30)
            }
        case .trips(let begin, let end, let count, let median, let p99, let p999, _):
            values[.median] = Double(median) / 1000
            values[.p99] = Double(p99) / 1000
            values[.p999] = Double(p999) / 1000
            values[.rate] = Double(count) / (Double(end - begin) / 1e9)
        }
        return values
    }

    /// The one that matters most.
    var metric: Metric {
        switch load {
        case .bulk(let size, _, _): size == Self.large ? .throughput : .messages
        case .ping: .median
        case .connect(let threads): threads == 1 ? .median : .rate
        }
    }
}

/// What is measured.
enum Metric: String, CaseIterable {
    case throughput
    case processorTime = "processor-time"
    case messages
    case median
    case p99
    case p999
    case rate
    /// Of a path's bytes, those of applications.
    case share
    case replay

    /// In a table's head.
    var title: String {
        switch self {
        case .throughput: "bytes"
        case .processorTime: "processor time"
        case .messages: "writes"
        case .median, .p99, .p999: "time"
        case .rate: "rate"
        case .share, .replay: rawValue
        }
    }

    var unit: String {
        switch self {
        case .throughput: "Gbit/s"
        case .processorTime: "s/GiB"
        case .messages: "1/s"
        case .median, .p99, .p999: "µs"
        case .rate: "1/s"
        case .share: "%"
        case .replay: "MiB"
        }
    }
}
