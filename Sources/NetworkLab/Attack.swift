import CLinux

/// Something that breaks connections on their way, until it is stopped.
public final class Attack: Sendable {
    public enum Kind: Sendable {
        /// `tcpkill` on the router: forges a reset for every packet that it sees and that matches a pcap filter, such as
        /// `tcp port 7117`. IPv4 only. It follows paths of up to about 100 Mbit/s; on faster ones its resets come too
        /// late to be in the window.
        case tcpkill(filter: String)
        /// The router's firewall answers packets from and to a port with a reset, for `lasting` out of each `every`.
        /// IPv4 and IPv6.
        case resets(port: UInt16, every: Duration, lasting: Duration)
        /// A host's kernel aborts every established connection from or to a port, once each `every` (`ss -K`). IPv4 and
        /// IPv6, at any speed.
        case socketKill(host: String, port: UInt16, every: Duration)
    }

    private let kind: Kind
    private let router: Host
    private let process: LabProcess

    init(_ kind: Kind, lab: Lab) throws(LabError) {
        self.kind = kind
        router = lab.router
        switch kind {
        case .tcpkill(let filter):
            let interface = LabNetwork(host: 1, interface: 0).routerInterface
            process = try router.start([try Tool.tcpkill.located(), "-9", "-i", interface, filter])
            try process.waitForOutput("listening on")
        case .resets(let port, let every, let lasting):
            let script = """
                set -e
                nft -f - <<RULES
                table inet attack {
                    counter resets {}
                    chain pass { type filter hook forward priority 0; }
                }
                RULES
                echo ready
                while :; do
                    nft -f - <<RULES
                add rule inet attack pass tcp dport \(port) counter name resets reject with tcp reset
                add rule inet attack pass tcp sport \(port) counter name resets reject with tcp reset
                RULES
                    sleep \(seconds(lasting))
                    nft flush chain inet attack pass
                    nft reset counter inet attack resets | grep -o 'packets [1-9].*' || true
                    sleep \(seconds(every - lasting))
                done
                """
            _ = try Tool.nft.located()
            process = try router.start(["/bin/sh", "-c", script])
            try process.waitForOutput("ready")
        case .socketKill(let host, let port, let every):
            let script = """
                while :; do
                    ss -H -n -K -t state established "( sport = :\(port) or dport = :\(port) )"
                    sleep \(seconds(every))
                done
                """
            _ = try Tool.ss.located()
            process = try lab[host].start(["/bin/sh", "-c", script])
        }
    }

    /// How often a connection was broken so far: for `tcpkill` and `socketKill` connections, for `resets` the times at
    /// which at least one packet met a reset.
    public var kills: Int {
        switch kind {
        case .tcpkill:
            // 10.77.2.2:7117 > 10.77.1.2:40000: R 1:1(0) win 0
            var connections: Set<Set<Substring>> = []
            for line in process.standardError.split(separator: "\n") {
                let words = line.split(separator: " ")
                guard words.count > 3, words[1] == ">" else { continue }
                connections.insert([words[0], words[2].dropLast()])
            }
            return connections.count
        case .resets: return process.standardOutput.split(separator: "\n").count { $0.hasPrefix("packets") }
        case .socketKill: return process.standardOutput.split(separator: "\n").count
        }
    }

    /// Ends the attack. It also ends with the lab.
    public func stop() {
        process.terminate()
        if case .resets = kind { _ = try? router.run(["nft", "delete", "table", "inet", "attack"]) }
    }
}

extension Lab {
    /// Starts an attack on what passes between the hosts; returns when it is in effect.
    public func attack(_ kind: Attack.Kind) throws(LabError) -> Attack { try Attack(kind, lab: self) }
}

/// As sleep(1) takes it.
private func seconds(_ duration: Duration) -> String { "\(duration / .seconds(1))" }
