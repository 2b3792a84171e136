import CLinux
import NetworkLab

extension UnderTest {
    /// Two hosts, on which a test starts its gateways itself, with the options that it wants.
    static func withoutGateway(_ body: (UnderTest) throws -> Void) throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            try body(UnderTest(lab: lab, mode: .usl, prefix: try command(in: lab)))
        }
    }

    /// What stands before a client's command, with further options of `usl`.
    func prefix(_ options: [String]) throws -> [String] { try Self.command(options, in: lab) }

    private static func command(_ options: [String] = [], in lab: Lab) throws -> [String] {
        [try usl(), "--plain", "--gateway", "\(lab["server"].address):\(gatewayPort)"] + options + ["--"]
    }

    /// Starts a gateway on the server and waits until it listens.
    func startGateway(
        allow: String = "*:1-65535", state: String = "/run/state", _ options: [String] = []
    ) throws -> LabProcess {
        let gateway = try server.start(
            [try Self.usl(), "gateway", "--plain", "--allow", allow, "--state", state] + options)
        try server.waitForListener(port: Self.gatewayPort)
        return gateway
    }
}

extension LabProcess {
    /// Waits until USL has said something. It may come behind the program's end, as an agent outlives its program, and a gateway
    /// gathers lines.
    func waitForLine(_ text: String, within limit: Duration = .seconds(5)) throws(LabError) {
        do {
            try waitUntil("'\(text)'", within: limit) { standardError.contains(text) }
        } catch {
            throw .deadline(waitingFor: "'\(text)' in '\(standardError)'", limit: limit)
        }
    }

    /// Kills the program and everything that it has started in its process group: nobody is left to say a word.
    func killGroup() {
        guard let pid else { return }
        let group = getpgid(pid)
        kill(-group, SIGKILL)
        _ = try? wait(.seconds(5))
        // Until the last of them is gone, its sockets are there.
        try? waitUntil("the end of a process group", within: .seconds(5)) { !Self.isAlive(group: group) }
    }

    /// Whether a process group has any process but such as nobody has waited for (proc_pid_stat(5)).
    private static func isAlive(group: pid_t) -> Bool {
        guard let processes = opendir("/proc") else { return false }
        defer { closedir(processes) }
        while let entry = readdir(processes) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard let pid = pid_t(name), getpgid(pid) == group, let file = fopen("/proc/\(pid)/stat", "re") else {
                continue
            }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 512)
            guard fgets(&line, Int32(line.count), file) != nil else { continue }
            let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            // The third field is the state, the twentieth the number of threads: one of a dead program's may hold on to its sockets.
            let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
            if fields.first != "Z" || fields.count > 17 && (Int(fields[17]) ?? 0) > 1 { return true }
        }
        return false
    }
}

extension Host {
    /// Kills the processes of this host that have a name (proc_pid_comm(5)), all but the oldest if that is spared.
    func killProcesses(called name: String, exceptFirst: Bool = false) throws {
        try signalProcesses(called: name, exceptFirst: exceptFirst, SIGKILL)
    }

    /// Sends such processes a signal.
    func signalProcesses(called name: String, exceptFirst: Bool = false, _ signal: Int32) throws {
        try succeed([
            "/bin/bash", "-c",
            """
            set -e
            found=()
            for entry in $(ls /proc | grep -E '^[0-9]+$' | sort -n); do
                [ "$(cat /proc/$entry/comm 2>/dev/null)" != "$1" ] || found+=($entry)
            done
            [ "$2" = false ] || found=("${found[@]:1}")
            kill "-$3" "${found[@]}"
            """, "kill", name, "\(exceptFirst)", "\(signal)",
        ])
    }

    /// Aborts every link of this host once, whatever state it is in.
    func resetLinks(port: UInt16 = UnderTest.gatewayPort) throws {
        try succeed([
            "ss", "-H", "-K", "-t", "state", "connected", "( sport = :\(port) or dport = :\(port) )",
        ])
    }

    /// Answers everything that passes from or to a port with a reset, or with nothing.
    func block(port: UInt16, silently: Bool = false, named table: String = "block") throws {
        let verdict = silently ? "drop" : "reject with tcp reset"
        try loadRules(
            """
            table inet \(table) {
                chain pass {
                    type filter hook forward priority 0;
                    tcp dport \(port) \(verdict)
                    tcp sport \(port) \(verdict)
                }
            }
            """)
    }

    /// Lets this host hear nothing on a port.
    func block(incoming port: UInt16) throws {
        try loadRules(
            """
            table inet block {
                chain arrive {
                    type filter hook input priority 0;
                    tcp dport \(port) drop
                }
            }
            """)
    }

    func unblock(named table: String = "block") throws { try succeed(["nft", "delete", "table", "inet", table]) }
}
extension Host {
    /// Counts the connections that others open to a port, whether or not they succeed.
    func countOpenings(port: UInt16) throws {
        try loadRules(
            """
            table inet count {
                chain arrive {
                    type filter hook input priority 0;
                    tcp dport \(port) tcp flags & (syn | ack) == syn counter
                }
            }
            """)
    }

    func countedOpenings() throws -> Int {
        let rules = try succeed(["nft", "list", "table", "inet", "count"])
        let words = rules.split { $0.isWhitespace }
        guard let index = words.firstIndex(of: "packets") else { return 0 }
        return Int(words[index + 1]) ?? 0
    }
}
