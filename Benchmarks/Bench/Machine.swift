import CLinux
import Kernel

/// What figures were measured on, and when.
struct Machine {
    let processor: String
    let cores: Int
    let kernel: String
    /// In UTC.
    let date: String
    /// How many processes wanted to run in the minute before (proc_loadavg(5)): other work, which counts.
    let load: Double

    static func current() -> Machine {
        func content(_ path: String) -> String {
            String(decoding: (try? FileContent.read(path, limit: 1 << 20)) ?? [], as: UTF8.self)
        }
        let model = content("/proc/cpuinfo").split(separator: "\n").first { $0.hasPrefix("model name") }
        let name = model?.split(separator: ":").last?.split(separator: " ").joined(separator: " ")
        let kernel = content("/proc/sys/kernel/osrelease").split(separator: "\n").first.map(String.init)
        let load = content("/proc/loadavg").split(separator: " ").first.flatMap { Double($0) }
        return Machine(
            processor: name ?? "unknown", cores: Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            kernel: kernel ?? "unknown", date: String(Timestamp.text(seconds: time(nil)).prefix(10)),
            load: load ?? 0)
    }

    var text: String {
        "\(date), \(cores) × \(processor), Linux \(kernel), load \(fixed(load, 1)) beforehand"
    }

    var json: JSON {
        .object([
            ("date", .text(date)), ("processor", .text(processor)), ("cores", .number(Double(cores))),
            ("kernel", .text(kernel)), ("load-before", .number(load)),
        ])
    }
}
