import CLinux
import Kernel
import SystemPackage

/// What the administrator has set for TCP (ip-sysctl of the kernel's documentation): a new network namespace begins with the kernel's
/// own values.
struct NetworkSettings {
    /// Those that a program notices. What a namespace cannot set is the same for all.
    private static let names = [
        "tcp_syn_retries", "tcp_syn_linear_timeouts", "tcp_retries2", "tcp_keepalive_time", "tcp_keepalive_intvl",
        "tcp_keepalive_probes", "tcp_fin_timeout", "tcp_rmem", "tcp_wmem", "ip_local_port_range",
        "ip_local_reserved_ports",
        "ip_unprivileged_port_start",
    ]
    private static let limit = 4096

    private let values: [(path: String, value: [UInt8])]

    /// Reads those of this thread's network namespace.
    init() {
        values = Self.names.compactMap { name in
            let path = "/proc/sys/net/ipv4/\(name)"
            return (try? FileContent.read(path, limit: Self.limit)).map { (path, $0) }
        }
    }

    /// Sets them in this thread's network namespace, as far as it has them.
    func apply() {
        for (path, value) in values {
            let number = usl_open(path, O_WRONLY | O_CLOEXEC, 0)
            guard number >= 0 else { continue }
            let file = Descriptor(owning: number)
            _ = value.withUnsafeBytes { write(file.number, $0.baseAddress, $0.count) }
        }
    }
}
