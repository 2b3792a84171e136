import NetworkLab

/// A way from the client to the server that is measured.
struct Contender {
    enum Kind: String, CaseIterable {
        case direct
        case haproxySplice = "HAProxy, splice"
        case haproxy = "HAProxy"
        case socat
        case multipath = "MPTCP"
        case stunnel
        case secureShell = "ssh -L"
        case wireGuard = "wireguard-go"
        case kcptun
        case session = "USL"
        case encryptedSession = "USL, TLS"

        var isOurs: Bool { counterpart == nil }

        /// What of ours does the same: what encrypts is compared with what encrypts.
        var counterpart: Kind? {
            switch self {
            case .direct, .haproxySplice, .haproxy, .socat, .multipath: .session
            case .stunnel, .secureShell, .wireGuard, .kcptun: .encryptedSession
            case .session, .encryptedSession: nil
            }
        }

        /// What its processes are called (proc_pid_comm(5)). What the kernel does alone has none.
        var processes: Set<String> {
            switch self {
            case .direct, .multipath: []
            case .haproxySplice, .haproxy: ["haproxy"]
            case .socat: ["socat"]
            case .stunnel: ["stunnel4"]
            case .secureShell: ["ssh", "sshd"]
            case .wireGuard: ["wireguard-go"]
            case .kcptun: ["kcptun-client", "kcptun-server"]
            case .session, .encryptedSession: ["usl", "usl-keeper", "usl-agent"]
            }
        }

        /// What it takes of the system.
        var tools: [Tool] {
            switch self {
            case .direct, .session, .encryptedSession: []
            case .haproxySplice, .haproxy: [Tool(name: "haproxy", package: "haproxy")]
            case .socat: [Tool(name: "socat", package: "socat")]
            case .multipath: [Tool(name: "mptcpize", package: "mptcpize")]
            case .stunnel: [Tool(name: "stunnel4", package: "stunnel4"), Tool(name: "openssl", package: "openssl")]
            case .secureShell:
                [Tool(name: "ssh", package: "openssh-client"), Tool(name: "sshd", package: "openssh-server")]
            case .wireGuard:
                [Tool(name: "wireguard-go", package: "wireguard-go"), Tool(name: "wg", package: "wireguard-tools")]
            case .kcptun:
                [Tool(name: "kcptun-client", package: "kcptun"), Tool(name: "kcptun-server", package: "kcptun")]
            }
        }
    }

    /// Where a client connects, and what stands before its command.
    struct Entrance {
        var prefix: [String] = []
        var address = "127.0.0.1"
        var port = Site.loadPort
    }

    let kind: Kind
    let entrance: Entrance
    /// Its processes, to be asked when something is wrong.
    let processes: [LabProcess]

    /// Why it cannot be measured on this machine; nil if it can.
    static func obstacle(to kind: Kind, at site: Site) -> String? {
        for tool in kind.tools where tool.path == nil {
            return "'\(tool.name)' is not installed (Debian's package \(tool.package))"
        }
        func fails(_ script: String) -> Bool {
            (try? site.near.run(["/bin/sh", "-c", script]))?.status != .success
        }
        switch kind {
        case .multipath where fails("grep -q 1 /proc/sys/net/mptcp/enabled"): return "the kernel has no MPTCP"
        case .wireGuard where fails("exec 3<>/dev/net/tun"): return "/dev/net/tun cannot be opened"
        // An ordinary user's namespace has one group, and sshd wants to give up its others.
        case .secureShell where fails("grep -q ' 4294967295$' /proc/self/gid_map"): return "sshd needs root"
        default: return nil
        }
    }
}
