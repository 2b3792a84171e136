import ArgumentParser
import CLinux
import Donation
import Interception
import Kernel
import Transport
import Trapping

/// `usl doctor`
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine can do, and what is missing.",
        discussion: """
            The exit status is 1 if something is missing that USL needs.

            Examples:
              usl doctor
            """)

    func run() throws {
        let findings = Examination.all.map { $0() }
        let width = findings.map(\.subject.count).max() ?? 0
        for finding in findings {
            let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
            switch finding.verdict {
            case .fine(let detail): print("ok       \(subject)  \(detail)")
            case .optional(let advice): print("missing  \(subject)  optional: \(advice)")
            case .required(let advice): print("missing  \(subject)  required: \(advice)")
            }
        }
        if findings.contains(where: \.isFatal) { throw ExitCode(1) }
    }
}

/// What an examination found.
struct Finding {
    enum Verdict {
        case fine(String)
        /// Not there, and USL works without it, though less well. Says what to do.
        case optional(String)
        /// Not there, and USL does not work without it. Says what to do.
        case required(String)
    }

    let subject: String
    let verdict: Verdict

    var isFatal: Bool {
        if case .required = verdict { true } else { false }
    }
}

/// Looks at this machine, one thing at a time.
enum Examination {
    static var all: [() -> Finding] {
        [
            kernel, library, runtimeDirectory, descriptors, children, addressFamily6, reno, retransmissionTimer,
            tcpInfo, kernelTLS, fastOpen, userNamespaces, donation, trappedCalls,
        ]
    }

    /// pidfd_open(2) and its poll came with 5.3, `IP_BIND_ADDRESS_NO_PORT` and the rest before.
    private static func kernel() -> Finding {
        var name = utsname()
        uname(&name)
        let release = withUnsafePointer(to: &name.release) {
            String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
        }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        let isNewEnough = numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 3)
        return Finding(
            subject: "kernel",
            verdict: isNewEnough ? .fine(release) : .required("Linux \(release) is too old; 5.3 is needed"))
    }

    private static func library() -> Finding {
        let subject = "preload library"
        do {
            let environment = try LaunchEnvironment()
            guard let handle = dlopen(environment.library, RTLD_NOW | RTLD_LOCAL) else {
                return Finding(subject: subject, verdict: .required(String(cString: dlerror())))
            }
            dlclose(handle)
            return Finding(subject: subject, verdict: .fine(environment.library))
        } catch {
            return Finding(subject: subject, verdict: .required("\(error); install USL again"))
        }
    }

    private static func runtimeDirectory() -> Finding {
        let subject = "runtime directory"
        do {
            let directory = try RuntimeDirectory(environment: variable)
            guard access(directory.path, W_OK) == 0 else {
                return Finding(subject: subject, verdict: .required("cannot write to \(directory.path)"))
            }
            return Finding(subject: subject, verdict: .fine(directory.path))
        } catch {
            return Finding(subject: subject, verdict: .required("\(error)"))
        }
    }

    private static func kernelTLS() -> Finding {
        Finding(
            subject: "kernel TLS",
            verdict: TLSContext.kernelOffersTLS
                ? .fine("links over TLS are encrypted by the kernel")
                : .optional("links over TLS are encrypted by OpenSSL; `modprobe tls` lets the kernel do it"))
    }

    private static func fastOpen() -> Finding {
        let content = (try? FileContent.read("/proc/sys/net/ipv4/tcp_fastopen", limit: 16)) ?? []
        let value = Int(String(decoding: content.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)) ?? 0
        // Bit 1 is for those who dial, bit 2 for listeners (in the kernel, Documentation/networking/ip-sysctl.rst).
        let (dials, listens) = (value & 1 != 0, value & 2 != 0)
        let lack =
            switch (dials, listens) {
            case (true, false): "a gateway here does not take it"
            case (false, true): "links from here do without"
            case (_, _): "links from here, and to a gateway here, do without"
            }
        return Finding(
            subject: "TCP Fast Open",
            verdict: dials && listens
                ? .fine("links over TLS come back a round trip sooner, from here and to a gateway here")
                : .optional(
                    "\(lack); `sysctl net.ipv4.tcp_fastopen=\(value | 3)` saves a round trip when links come back"))
    }

    /// A session takes two descriptors in an agent or gateway and one in its keeper; an eighth is for others (`Admission`).
    private static func descriptors() -> Finding {
        var limit = rlimit()
        getrlimit(RLIMIT_NOFILE, &limit)
        let sessions = limit.rlim_max / 16 * 7
        return Finding(
            subject: "descriptors",
            verdict: limit.rlim_max >= 4096
                ? .fine("up to \(limit.rlim_max), for about \(sessions) sessions of one process")
                : .optional("only \(limit.rlim_max), for about \(sessions) sessions; raise `ulimit -Hn`"))
    }

    /// Without it, a keeper does not see what a program left running.
    private static func children() -> Finding {
        let isThere = access("/proc/thread-self/children", R_OK) == 0
        return Finding(
            subject: "/proc children",
            verdict: isThere
                ? .fine("programs in the background keep their sessions")
                : .optional(
                    "mount /proc, or use a kernel with CONFIG_PROC_CHILDREN, "
                        + "or programs in the background lose their sessions"))
    }

    private static func addressFamily6() -> Finding {
        let number = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else {
            return Finding(subject: "IPv6", verdict: .optional("the kernel has none; links use IPv4 alone"))
        }
        let socket = Descriptor(owning: number)
        let loopback = SocketAddress(host: .v6(high: 0, low: 1, scope: 0), port: 0)
        let isUp = loopback.withSockaddr { usl_bind(socket.number, $0, $1) } == 0
        return Finding(
            subject: "IPv6",
            verdict: isUp ? .fine("there") : .optional("::1 is missing; set net.ipv6.conf.lo.disable_ipv6 to 0"))
    }

    private static func reno() -> Finding {
        let subject = "reno on loopback"
        return withTCPSocket(subject) { socket in
            let name = "reno"
            return setsockopt(socket, Int32(IPPROTO_TCP), TCP_CONGESTION, name, socklen_t(name.utf8.count)) == 0
                ? .fine("connections of programs to their agent are fast")
                : .optional("throughput may be half; add reno to net.ipv4.tcp_allowed_congestion_control")
        }
    }

    private static func retransmissionTimer() -> Finding {
        let subject = "TCP_RTO_MIN_US"
        return withTCPSocket(subject) { socket in
            var microseconds: Int32 = 10_000
            let length = socklen_t(MemoryLayout<Int32>.size)
            return setsockopt(socket, Int32(IPPROTO_TCP), Int32(USL_TCP_RTO_MIN_US), &microseconds, length) == 0
                ? .fine("there; a silent link is seen some 20 ms after the round trip")
                : .optional("a silent link is seen later, after 1 s; Linux 6.15 has it")
        }
    }

    private static func tcpInfo() -> Finding {
        let subject = "TCP_INFO"
        return withTCPSocket(subject) { socket in
            var info = usl_tcp_info()
            var length = socklen_t(MemoryLayout<usl_tcp_info>.size)
            // Counters of bytes came with 4.1, and end before the field `segs_out`.
            guard getsockopt(socket, Int32(IPPROTO_TCP), TCP_INFO, &info, &length) == 0,
                Int(length) >= MemoryLayout<usl_tcp_info>.offset(of: \.segs_out) ?? .max
            else { return .required("the kernel does not count bytes; Linux 5.3 does") }
            return .fine("there")
        }
    }

    private static func withTCPSocket(_ subject: String, _ body: (Int32) -> Finding.Verdict) -> Finding {
        let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else {
            return Finding(subject: subject, verdict: .required("no IPv4 sockets can be made"))
        }
        let socket = Descriptor(owning: number)
        return Finding(subject: subject, verdict: body(socket.number))
    }

    /// For programs that no library can be loaded into.
    private static func donation() -> Finding {
        finding(
            "donated sockets", lack: Donor.lack(), fine: "static and Go programs are intercepted (--intercept donate)",
            consequence: "static and Go programs get trapped calls instead. It takes Linux 5.14, user namespaces "
                + "(kernel.unprivileged_userns_clone, user.max_user_namespaces), and nf_tables with NFQUEUE and TPROXY "
                + "(`modprobe nf_tables nfnetlink_queue nft_queue nft_tproxy nft_reject_inet`, or nft_compat and xt_NFQUEUE)"
        )
    }

    /// For the same programs, where there are no donated sockets.
    private static func trappedCalls() -> Finding {
        finding(
            "trapped calls", lack: ConnectSupervisor.lack(),
            fine: "what --intercept seccomp needs, where no sockets can be donated",
            consequence: "where no sockets can be donated either, static and Go programs go past USL, but for usl "
                + "forward. It takes Linux 5.6, seccomp, and that a process may look into its children")
    }

    private static func finding(_ subject: String, lack: String?, fine: String, consequence: String) -> Finding {
        Finding(subject: subject, verdict: lack.map { .optional("cannot \($0); \(consequence)") } ?? .fine(fine))
    }

    /// The demo's hosts are namespaces; root needs no user namespace for them.
    private static func userNamespaces() -> Finding {
        let subject = "user namespaces"
        if geteuid() == 0 { return Finding(subject: subject, verdict: .fine("not needed by root")) }
        let pid = usl_fork()
        if pid == 0 { _exit(unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1) }
        var status: Int32 = -1
        let worked = pid > 0 && (try? retrying { waitpid(pid, &status, 0) }) != nil
        return Finding(
            subject: subject,
            verdict: worked && Termination(waitStatus: status) == .success
                ? .fine("`usl demo` runs without root")
                : .optional(
                    "`usl demo` needs root; or set kernel.unprivileged_userns_clone and "
                        + "user.max_user_namespaces"))
    }
}
