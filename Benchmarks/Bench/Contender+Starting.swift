import NetworkLab

/// How each contender is set up. All of them listen, and wait for connections.
extension Contender {
    static func start(_ kind: Kind, at site: Site) throws -> Contender {
        switch kind {
        case .direct: Contender(kind: kind, entrance: Entrance(address: site.farAddress), processes: [])
        case .haproxySplice: try relays(kind, site, 6010) { try haproxy($0, $1, splices: true) }
        case .haproxy: try relays(kind, site, 6020) { try haproxy($0, $1, splices: false) }
        case .socat: try relays(kind, site, 6030, socat)
        case .stunnel: try stunnel(site)
        case .multipath: try multipath(site)
        case .secureShell: try secureShell(site)
        case .wireGuard: try wireGuard(site)
        case .kcptun: try kcptun(site)
        case .session:
            try session(
                kind, site, gateway: "\(site.farAddress):7117", security: ["--plain"], state: "/run/plain")
        case .encryptedSession:
            try session(kind, site, gateway: "\(site.linkAddress):7118", security: [], state: "/run/encrypted")
        }
    }

    /// Waits until a process listens at a port, and no longer than it lives.
    private static func waitForListener(_ process: LabProcess?, at host: Host, _ port: UInt16) throws {
        try waitUntil("listener on port \(port)", within: .seconds(10)) { () throws(LabError) in
            if let process, let status = process.ended {
                throw .failed(command: process.command, status: status, errors: process.standardError)
            }
            return host.isListening(port: port)
        }
    }

    // MARK: - Relays

    /// What a relay is to do.
    private struct Leg {
        let host: Host
        /// Address and port at which it listens, and to which it passes on.
        let listen: (address: String, port: UInt16)
        let target: (address: String, port: UInt16)
    }

    /// One relay beside the client and one beside the server.
    private static func relays(
        _ kind: Kind, _ site: Site, _ port: UInt16, _ start: (Leg, String) throws -> LabProcess
    ) throws -> Contender {
        let farther = Leg(host: site.far, listen: (site.farAddress, port + 1), target: ("127.0.0.1", Site.loadPort))
        let nearer = Leg(host: site.near, listen: ("127.0.0.1", port), target: (site.farAddress, port + 1))
        var processes: [LabProcess] = []
        for leg in [farther, nearer] {
            processes.append(try start(leg, "/run/relay-\(leg.listen.port)"))
            try waitForListener(processes.last, at: leg.host, leg.listen.port)
        }
        return Contender(kind: kind, entrance: Entrance(port: port), processes: processes)
    }

    private static func haproxy(_ leg: Leg, _ path: String, splices: Bool) throws -> LabProcess {
        let configuration = """
            defaults
                mode tcp
                timeout connect 5s
                timeout client 1m
                timeout server 1m
                \(splices ? "option splice-auto" : "")
            listen relay
                bind \(leg.listen.address):\(leg.listen.port)
                server target \(leg.target.address):\(leg.target.port)

            """
        try leg.host.succeed(["tee", path], input: .bytes(Array(configuration.utf8)))
        return try leg.host.start(["haproxy", "-f", path])
    }

    private static func socat(_ leg: Leg, _: String) throws -> LabProcess {
        try leg.host.start([
            "socat", "-b", "262144",
            "TCP-LISTEN:\(leg.listen.port),bind=\(leg.listen.address),fork,reuseaddr,backlog=1024,nodelay",
            "TCP:\(leg.target.address):\(leg.target.port),nodelay",
        ])
    }

    private static func stunnel(_ site: Site) throws -> Contender {
        try site.far.succeed([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
            "-subj", "/CN=bench", "-keyout", "/run/key.pem", "-out", "/run/certificate.pem",
        ])
        return try relays(.stunnel, site, 6040) { leg, path in
            let isServer = leg.target.port == Site.loadPort
            let configuration = """
                foreground = yes
                pid =
                debug = 3
                [relay]
                sslVersion = TLSv1.3
                socket = l:TCP_NODELAY=1
                socket = r:TCP_NODELAY=1
                accept = \(leg.listen.address):\(leg.listen.port)
                connect = \(leg.target.address):\(leg.target.port)
                \(isServer ? "cert = /run/certificate.pem\nkey = /run/key.pem" : "client = yes")

                """
            try leg.host.succeed(["tee", path], input: .bytes(Array(configuration.utf8)))
            return try leg.host.start(["stunnel4", path])
        }
    }

    // MARK: - Tunnels

    private static func secureShell(_ site: Site) throws -> Contender {
        let shell = try SecureShell(from: site.near, to: site.far, address: site.farAddress)
        let tunnel = try shell.forward(6050, to: Site.loadPort)
        return Contender(kind: .secureShell, entrance: Entrance(port: 6050), processes: [tunnel])
    }

    private static func multipath(_ site: Site) throws -> Contender {
        let server = try site.far.start(["mptcpize", "run", site.tool, "load", "serve", "\(Site.multipathPort)"])
        try server.waitForOutput("serving")
        return Contender(
            kind: .multipath,
            entrance: Entrance(
                prefix: ["mptcpize", "run"], address: site.farAddress, port: Site.multipathPort),
            processes: [server])
    }

    private static func kcptun(_ site: Site) throws -> Contender {
        // Its defaults, but for the compression, which would shorten what is measured.
        let options = ["--nocomp", "--quiet", "--key", "bench"]
        let server = try site.far.start(
            ["kcptun-server", "--listen", "\(site.farAddress):6061", "--target", "127.0.0.1:\(Site.loadPort)"] + options
        )
        try server.waitForOutput("listening")
        let client = try site.near.start(
            ["kcptun-client", "--localaddr", "127.0.0.1:6060", "--remoteaddr", "\(site.farAddress):6061"] + options)
        try waitForListener(client, at: site.near, 6060)
        return Contender(kind: .kcptun, entrance: Entrance(port: 6060), processes: [server, client])
    }

    /// Between two hosts, since a tunnel of packets has two ends in two networks.
    private static func wireGuard(_ site: Site) throws -> Contender {
        let ends = [(host: site.near, address: "10.99.0.1"), (host: site.beyond, address: "10.99.0.2")]
        let keys = try ends.map { end in
            let secret = try end.host.succeed(["wg", "genkey"])
            let known = try end.host.succeed(["wg", "pubkey"], input: .bytes(Array(secret.utf8)))
            try end.host.succeed(["tee", "/run/wireguard-key"], input: .bytes(Array(secret.utf8)))
            return String(known.prefix { !$0.isWhitespace })
        }
        var processes: [LabProcess] = []
        for (index, end) in ends.enumerated() {
            let other = ends[1 - index]
            let process = try end.host.start(["wireguard-go", "--foreground", "wg0"])
            try waitUntil("wireguard-go on \(end.host.name)", within: .seconds(10)) {
                (try? end.host.run(["wg", "show", "wg0"]))?.status == .success
            }
            try end.host.succeed([
                "wg", "set", "wg0", "listen-port", "6070", "private-key", "/run/wireguard-key", "peer",
                keys[1 - index], "allowed-ips", "\(other.address)/32", "endpoint", "\(other.host.address):6070",
            ])
            try end.host.succeed(["ip", "address", "add", "\(end.address)/24", "dev", "wg0"])
            try end.host.succeed(["ip", "link", "set", "wg0", "up"])
            processes.append(process)
        }
        return Contender(kind: .wireGuard, entrance: Entrance(address: ends[1].address), processes: processes)
    }

    // MARK: - Ours

    private static func session(
        _ kind: Kind, _ site: Site, gateway: String, security: [String], state: String
    ) throws -> Contender {
        let process = try site.far.start(
            [site.usl, "gateway", "--listen", gateway, "--allow", "*:\(Site.loadPort)", "--state", state + "-gateway"]
                + security)
        try waitForListener(process, at: site.far, kind == .session ? 7117 : 7118)
        let prefix = [site.usl, "-q", "--gateway", gateway, "--state", state] + security + ["--"]
        return Contender(
            kind: kind, entrance: Entrance(prefix: prefix, address: site.farAddress), processes: [process])
    }
}
