import CLinux
import Kernel

/// What the kernel tells of another process's thread (proc_pid_status(5)).
struct ThreadStatus {
    private let lines: [Substring.UTF8View]

    /// Reads it. Nothing is known of a thread that is gone.
    init(of thread: pid_t) {
        let text = String(decoding: (try? FileContent.read("/proc/\(thread)/status", limit: 4096)) ?? [], as: UTF8.self)
        lines = text.split(separator: "\n").map(\.utf8)
    }

    /// The process's number, which is its first thread's.
    var process: pid_t? { field("Tgid:").flatMap { pid_t($0) } }

    /// Whether a signal waits that will run a handler.
    var hasHandlerToRun: Bool {
        (signals("SigPnd:") | signals("ShdPnd:")) & ~signals("SigBlk:") & signals("SigCgt:") != 0
    }

    private func signals(_ name: StaticString) -> UInt64 { field(name).flatMap { UInt64($0, radix: 16) } ?? 0 }

    private func field(_ name: StaticString) -> Substring? {
        let name = "\(name)"
        return lines.first { $0.starts(with: name.utf8) }
            .flatMap { Substring($0).dropFirst(name.count).split(whereSeparator: \.isWhitespace).first }
    }
}
