import NetworkLab

/// How long programs take to connect to a name of which the first addresses are silent, by themselves and with the shim.
struct DeadAddresses {
    /// A name, and the addresses before the one that answers.
    private struct Name {
        let text: String
        let meaning: String
        let dead: [String]
        var working = "10.77.2.2"
    }

    private enum Program: String, CaseIterable {
        /// It races IPv6 and IPv4, and takes the addresses of a family one after the other. Its own time (`time_connect`), and
        /// whether the server's byte came.
        case curl
        /// It takes one address after the other. The time of the whole process.
        case ncat
        /// It takes the first address alone. The time of its connect().
        case first = "first address alone"

        func command(_ name: String) -> [String] {
            switch self {
            case .curl:
                [
                    "curl", "--silent", "--output", "/dev/null", "--write-out", "%{time_connect} %{size_download}",
                    "telnet://\(name):7000",
                ]
            case .ncat:
                [
                    "/bin/bash", "-c",
                    """
                    begin=$EPOCHREALTIME
                    got=$(ncat --recv-only \(name) 7000)
                    echo "$begin $EPOCHREALTIME $got" | awk '{ printf "%.6f %s", $2 - $1, $3 }'
                    """,
                ]
            case .first:
                [
                    "/usr/bin/python3", "-c",
                    """
                    from socket import getaddrinfo, socket, SOCK_STREAM
                    from time import monotonic
                    family, kind, _, _, address = getaddrinfo('\(name)', 7000, 0, SOCK_STREAM)[0]
                    s = socket(family, kind)
                    begin = monotonic()
                    s.connect(address)
                    end = monotonic()
                    print(end - begin, s.recv(1).decode())
                    """,
                ]
            }
        }
    }

    /// A program, and what stands before it.
    private struct Contender {
        let program: Program
        let way: String
        let prefix: [String]
        /// The shim finds no answer to whether there is a gateway, and asks.
        var isNew = false

        /// - Parameter run: makes the state of what is new another one each time.
        func command(_ name: Name, run: Int) -> [String] {
            let state = isNew ? ["--state", "/run/new-\(name.text)-\(run)"] : []
            return (prefix.isEmpty ? [] : prefix + state + ["--"]) + program.command(name.text)
        }
    }

    /// What the kernel of a bare program does: a second SYN after a second, and no third. By itself it gives up after
    /// minutes.
    private static let retries = "1"

    /// A private address does not count as another way to a public one (docs/rendezvous.md).
    private static let publicAddress = "192.0.2.2"

    private let lab: Lab
    private let names: [Name]
    private let bare: [Contender]
    private let shimmed: [Contender]

    static func measure(usl: String, runs: Int) throws {
        try Lab.with(hosts: ["client", "server"]) { lab in
            let measurement = try DeadAddresses(lab, usl: usl)
            try measurement.run(runs)
        }
    }

    private init(_ lab: Lab, usl: String) throws {
        self.lab = lab
        func dead(_ count: Int) -> [String] { (0..<count).map { "10.77.2.\(11 + $0)" } }
        names =
            [0, 1, 3, 7].map { Name(text: "dead\($0)", meaning: "\($0)", dead: dead($0)) }
            + [Name(text: "other", meaning: "1, IPv6", dead: ["2001:db8:2::11"], working: Self.publicAddress)]
        bare = Program.allCases.map { Contender(program: $0, way: "bare", prefix: []) }
        shimmed =
            Program.allCases.map {
                Contender(program: $0, way: "usl --treatment shim", prefix: [usl, "-q", "--treatment", "shim"])
            }
            + [
                Contender(program: .curl, way: "usl", prefix: [usl, "-q"]),
                Contender(program: .curl, way: "usl, nothing known", prefix: [usl, "-q"], isNew: true),
            ]
        try prepare()
    }

    private func prepare() throws {
        let (client, server) = (lab["client"], lab["server"])
        try server.start([try LabTool.path(), "connect-peer", "serve", "7000"]).waitForOutput("serving")
        try server.succeed(["ip", "address", "add", "\(Self.publicAddress)/32", "dev", "eth0"])
        try lab.router.succeed(["ip", "route", "add", Self.publicAddress, "via", server.address])
        // A global address, so that the resolver puts IPv6 first.
        try client.succeed(["ip", "address", "add", "2001:db8:1::2/64", "dev", "eth0"])
        try lab.router.loadRules(
            """
            table inet dead {
                chain pass {
                    type filter hook prerouting priority raw;
                    ip daddr 10.77.2.11-10.77.2.17 drop
                    ip6 daddr 2001:db8:2::11 drop
                }
            }
            """)
        let lines = names.flatMap { name in (name.dead + [name.working]).map { "\($0) \(name.text)\\n" } }.joined()
        try client.succeed(["/bin/sh", "-c", "printf '\(lines)' >> /run/hosts"])
    }

    /// Seconds that each contender took for each name; nil where it did not connect.
    private func run(_ runs: Int) throws {
        let contenders = bare + shimmed
        var times = contenders.map { _ in names.map { _ in [Double?]() } }
        // What is there is found out once.
        for name in names { for contender in shimmed where !contender.isNew { _ = try time(contender, name, run: 0) } }
        for (column, name) in names.enumerated() {
            for run in 1...runs {
                if name.dead.isEmpty {
                    for row in contenders.indices {
                        times[row][column].append(try time(contenders[row], name, run: run))
                    }
                } else {
                    // They wait, and so do not hinder each other.
                    let started = try shimmed.map { try start($0, name, run: run) }
                    for (index, process) in started.enumerated() {
                        times[bare.count + index][column].append(try time(process))
                    }
                }
            }
        }
        try lab["client"].succeed(["sysctl", "-qw", "net.ipv4.tcp_syn_retries=\(Self.retries)"])
        var waiting: [(row: Int, column: Int, process: LabProcess)] = []
        for (column, name) in names.enumerated() where !name.dead.isEmpty {
            for row in bare.indices {
                for run in 1...runs { waiting.append((row, column, try start(bare[row], name, run: run))) }
            }
        }
        for (row, column, process) in waiting { times[row][column].append(try time(process)) }
        tell(contenders, times)
    }

    private func start(_ contender: Contender, _ name: Name, run: Int) throws -> LabProcess {
        try lab["client"].start(contender.command(name, run: run))
    }

    private func time(_ contender: Contender, _ name: Name, run: Int) throws -> Double? {
        try time(try start(contender, name, run: run))
    }

    private func time(_ process: LabProcess) throws -> Double? {
        guard (try? process.wait(.seconds(60))) != nil else {
            process.terminate()
            return nil
        }
        let words = process.standardOutput.split { $0.isWhitespace }
        guard words.count == 2, words[1] == "1", let seconds = Double(words[0]) else { return nil }
        return seconds
    }

    private func tell(_ contenders: [Contender], _ times: [[[Double?]]]) {
        show("| silent addresses before the one that answers: | | \(names.map(\.meaning).joined(separator: " | ")) |")
        show("|---|---|" + String(repeating: "---|", count: names.count))
        for (contender, columns) in zip(contenders, times) {
            let cells = columns.map(cell)
            show("| \(contender.program.rawValue) | \(contender.way) | \(cells.joined(separator: " | ")) |")
        }
    }

    /// The median; how many failed, if any did.
    private func cell(_ seconds: [Double?]) -> String {
        let connected = seconds.compactMap { $0 }
        let failures = seconds.count - connected.count
        guard !connected.isEmpty else { return "fails" }
        let time = milliseconds(Int(median(connected) * 1e9))
        return failures == 0 ? time : "\(time), \(failures) of \(seconds.count) fail"
    }
}
