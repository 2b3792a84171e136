import CLinux

/// Where USL keeps what outlives its processes: `/var/lib/usl` for root, else `$XDG_STATE_HOME/usl`, by default
/// `~/.local/state/usl` (XDG Base Directory Specification).
enum StateDirectory {
    static var path: String {
        if geteuid() == 0 { return "/var/lib/usl" }
        if let state = variable("XDG_STATE_HOME"), state.hasPrefix("/") { return state + "/usl" }
        return (variable("HOME") ?? "/") + "/.local/state/usl"
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
