import CLinux
import NetworkLab
import Testing

/// How a program runs in a test: each must behave the same in every mode.
enum Mode: String, CaseIterable, CustomTestStringConvertible {
    case bare
    case usl
    /// Under USL, while every link is reset again and again.
    case attacked

    var testDescription: String { rawValue }
}

/// All end-to-end tests, one after the other: they share the machine's two cores with their own attacks.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct EndToEnd {}

/// A client and a server, a gateway on the server if the mode wants one, and an attack if the mode wants one.
///
/// Files live in each host's `/run`, which is memory and ends with the host.
struct UnderTest {
    static let gatewayPort: UInt16 = 7117

    let lab: Lab
    let mode: Mode
    /// What stands before a command so that it runs in this mode.
    let prefix: [String]

    var client: Host { lab["client"] }
    var server: Host { lab["server"] }

    /// Makes the hosts and lends them to `body`. Under attack, at least one link must have been reset in the end.
    ///
    /// - Parameters:
    ///   - overIPv6: whether links are over IPv6.
    ///   - attack: what happens under attack; by default, the server's kernel aborts every link ten times a second.
    static func with(
        _ mode: Mode, rate: Lab.Rate? = nil, overIPv6: Bool = false,
        attack kind: Attack.Kind = .socketKill(host: "server", port: gatewayPort, every: .milliseconds(100)),
        _ body: (UnderTest) throws -> Void
    ) throws {
        let usl = try mode == .bare ? "" : Self.usl()
        try Lab.with(hosts: ["client", "server"], rate: rate) { lab in
            guard mode != .bare else { return try body(UnderTest(lab: lab, mode: mode, prefix: [])) }
            let gateway = try lab["server"].start([
                usl, "gateway", "--plain", "--state", "/run/state", "--allow", "*:1-65535",
            ])
            try lab["server"].waitForListener(port: gatewayPort)
            let attack = try mode == .attacked ? lab.attack(kind) : nil
            let address = overIPv6 ? "[\(lab["server"].address6)]" : lab["server"].address
            let prefix = [usl, "--plain", "--gateway", "\(address):\(gatewayPort)", "--"]
            try body(UnderTest(lab: lab, mode: mode, prefix: prefix))
            if let attack {
                attack.stop()
                #expect(attack.kills > 0, "the attack has reset nothing")
            }
            #expect(gateway.ended == nil, "the gateway has ended: \(gateway.standardError)")
        }
    }

    /// The command that `make build` made.
    static func usl() throws -> String {
        let tree = try #require(getenv("USL_TREE"), "USL_TREE does not name the tree that `make build` makes")
        let path = String(cString: tree) + "/bin/usl"
        try #require(access(path, X_OK) == 0, "there is no \(path); run `make build`")
        return path
    }

    /// Runs a program on the client in this mode; it must succeed.
    @discardableResult
    func run(
        _ command: [String], environment: [String: String] = [:], input: Host.Input = .nothing,
        within limit: Duration = .seconds(60)
    ) throws -> String {
        try client.succeed(prefix + command, environment: environment, input: input, within: limit)
    }

    /// Runs a script on the client, in which `"$@"` stands for what makes a command run in this mode. It must succeed.
    @discardableResult
    func script(_ text: String, within limit: Duration = .seconds(60)) throws -> String {
        try client.succeed(["/bin/bash", "-c", "set -euo pipefail\n" + text, "script"] + runner, within: limit)
    }

    /// `env` changes nothing; it stands in for an empty prefix.
    private var runner: [String] { prefix.isEmpty ? ["/usr/bin/env"] : prefix }

    /// Starts a server program and waits until it listens.
    func serve(
        _ command: [String], port: UInt16, directory: String = "/", environment: [String: String] = [:]
    ) throws -> LabProcess {
        let process = try server.start(command, environment: environment, directory: directory)
        try server.waitForListener(port: port)
        return process
    }

    /// Starts a server script and waits until it listens.
    func serve(script: String, port: UInt16) throws -> LabProcess {
        try serve(["/bin/bash", "-c", "set -euo pipefail\n" + script], port: port)
    }
}

extension Host {
    /// Makes a file of random bytes.
    func makeRandomFile(_ path: String, megabytes: Int) throws {
        try succeed(["dd", "if=/dev/urandom", "of=\(path)", "bs=1M", "count=\(megabytes)", "status=none"])
    }

    /// The SHA-256 of a file, in hexadecimal.
    func digest(_ path: String) throws -> String {
        String(try succeed(["sha256sum", path]).prefix(64))
    }
}
