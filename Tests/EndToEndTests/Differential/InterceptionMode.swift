/// A way in which `usl` takes the connections of programs, and what becomes of them there. The differential suite runs every
/// probe in each.
struct InterceptionMode: Sendable {
    /// The name in the table of docs/interception.md, and of the mode's host in the lab.
    let name: String
    /// What `usl` is told, besides the gateway.
    let options: [String]
    /// Whether connections are sessions through a gateway.
    var hasGateway = false

    /// Whether connect(2) is made for the program by another process.
    var trapsConnect: Bool { options.contains("seccomp") }

    /// Whether programs are intercepted that no library can be loaded into.
    var reachesStaticPrograms: Bool { !options.contains("preload") }

    static let all = [
        InterceptionMode(name: "preload-session", options: ["--intercept", "preload"], hasGateway: true),
        InterceptionMode(name: "preload-shim", options: ["--intercept", "preload", "--treatment", "shim"]),
        InterceptionMode(name: "preload-direct", options: ["--intercept", "preload", "--treatment", "direct"]),
        InterceptionMode(name: "donate-session", options: ["--intercept", "donate"], hasGateway: true),
        InterceptionMode(name: "donate-shim", options: ["--intercept", "donate", "--treatment", "shim"]),
        InterceptionMode(name: "donate-direct", options: ["--intercept", "donate", "--treatment", "direct"]),
        InterceptionMode(name: "seccomp-session", options: ["--intercept", "seccomp"], hasGateway: true),
        InterceptionMode(name: "seccomp-shim", options: ["--intercept", "seccomp", "--treatment", "shim"]),
        InterceptionMode(name: "seccomp-direct", options: ["--intercept", "seccomp", "--treatment", "direct"]),
    ]
}
