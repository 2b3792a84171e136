import CLinux
public import Kernel
import Synchronization

/// A host of the lab: namespaces of its own for the network, processes, mounts and the host name. They live exactly as
/// long as the host's first process, which waits for the end of a pipe whose other end the lab holds: the kernel ends
/// a host together with the lab, whatever the lab dies of (pid_namespaces(7), pipe(7)).
///
/// `/run` is empty and private, as is what USL keeps for root; `HOME` lies in `/run`, and `/etc/hosts` knows the names of all
/// hosts of the lab.
public final class Host: Sendable {
    public let name: String
    /// The host's IPv4 and IPv6 addresses on its first interface, without a prefix length.
    public let address: String
    public let address6: String

    let number: Int
    /// The host's first process, as this process sees it.
    let initialProcess: pid_t
    private let inUserNamespace: Bool
    private let container: LabProcess
    private let lifeline: Mutex<Descriptor?>
    private let processes = Mutex<[LabProcess]>([])

    /// Starts the host. With `owner`, the host's namespaces belong to the same user namespace as the owner's, so that
    /// a network interface can be moved from one to the other.
    init(name: String, number: Int, names: [(name: String, number: Int)], owner: Host?) throws(LabError) {
        self.name = name
        self.number = number
        let first = LabNetwork(host: number, interface: 0)
        address = first.address
        address6 = first.address6
        inUserNamespace = geteuid() != 0

        // Orphans need nobody to wait for them, and addresses no second in which duplicates are looked for.
        var script = """
            trap '' CHLD
            set -e
            mount -t tmpfs -o mode=755 tmpfs /run
            mkdir -p /run/home /run/lock /run/sshd
            if mkdir -p /var/lib/usl 2>/dev/null; then mount -t tmpfs -o mode=700 tmpfs /var/lib/usl; fi
            echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
            echo '127.0.0.1 localhost' > /run/hosts
            echo '::1 localhost' >> /run/hosts

            """
        for other in names {
            let network = LabNetwork(host: other.number, interface: 0)
            script += "echo '\(network.address) \(other.name)' >> /run/hosts\n"
            script += "echo '\(network.address6) \(other.name)' >> /run/hosts\n"
        }
        script += """
            mount --bind /run/hosts /etc/hosts
            hostname '\(name)'
            echo ready
            exec cat
            """
        var launch: [String] = []
        if inUserNamespace, let owner {
            launch += [try Tool.nsenter.located(), "--target", "\(owner.initialProcess)"]
            launch += ["--user", "--preserve-credentials", "--"]
        }
        launch += [try Tool.unshare.located()]
        if inUserNamespace, owner == nil { launch += ["--user", "--map-root-user"] }
        launch += ["--net", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"]
        launch += ["/bin/sh", "-c", script]

        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw .system(call: "pipe2", reason: errnoText()) }
        lifeline = Mutex(Descriptor(owning: ends[1]))
        container = try LabProcess(
            launch: launch, command: ["host", name], environment: Host.environment, input: Descriptor(owning: ends[0]))
        try container.waitForOutput("ready")
        guard let first = container.pid else {
            throw .system(call: "unshare", reason: "the first process of \(name) has gone")
        }
        initialProcess = first
    }

    /// Nothing of the caller's environment but its temporary folder: programs behave the same for everybody.
    static let environment: [String: String] = {
        var environment = [
            "PATH": Tool.searchPath, "HOME": "/run/home", "LANG": "C.UTF-8", "SWIFT_BACKTRACE": "enable=no",
        ]
        if let folder = getenv("TMPDIR") { environment["TMPDIR"] = String(cString: folder) }
        return environment
    }()

    /// Where a program's standard input comes from.
    public enum Input: Sendable {
        case nothing
        case bytes([UInt8])
    }

    /// Starts a program on the host.
    ///
    /// - Parameters:
    ///   - command: the program, by name or path, and its arguments.
    ///   - environment: variables to add.
    ///   - directory: the working directory; `/` by default.
    public func start(
        _ command: [String], environment: [String: String] = [:], directory: String = "/", input: Input = .nothing
    ) throws(LabError) -> LabProcess {
        try start(command, environment: environment, directory: directory, reading: try input.opened())
    }

    /// Starts a program whose standard input is `input`.
    func start(
        _ command: [String], environment: [String: String] = [:], directory: String = "/",
        reading input: consuming Descriptor
    ) throws(LabError) -> LabProcess {
        let spaces = ["--net", "--pid", "--mount", "--uts", "--ipc", "--wdns=\(directory)"]
        let process = try LabProcess(
            launch: try enter(spaces) + command, command: command,
            environment: Host.environment.merging(environment) { $1 }, input: input)
        processes.withLock { $0.append(process) }
        return process
    }

    /// What a program that has ended left behind.
    public struct Outcome: Sendable {
        public let status: Termination
        public let output: String
        public let errors: String
        public let duration: Duration
    }

    /// Runs a program on the host to its end, which is forced when it takes longer than `limit`.
    public func run(
        _ command: [String], environment: [String: String] = [:], directory: String = "/", input: Input = .nothing,
        within limit: Duration = .seconds(30)
    ) throws(LabError) -> Outcome {
        let begin = ContinuousClock.now
        let process = try start(command, environment: environment, directory: directory, input: input)
        do throws(LabError) {
            let status = try process.wait(limit)
            return Outcome(
                status: status, output: process.standardOutput, errors: process.standardError,
                duration: ContinuousClock.now - begin)
        } catch {
            process.signal(SIGKILL)
            throw .failed(
                command: command, status: .signaled(SIGKILL),
                errors: "\(error)\n\(process.standardOutput)\n\(process.standardError)")
        }
    }

    /// Runs a program that must succeed.
    ///
    /// - Returns: what it wrote to its standard output.
    @discardableResult
    public func succeed(
        _ command: [String], environment: [String: String] = [:], directory: String = "/", input: Input = .nothing,
        within limit: Duration = .seconds(30)
    ) throws(LabError) -> String {
        let outcome = try run(command, environment: environment, directory: directory, input: input, within: limit)
        guard outcome.status == .success else {
            throw .failed(command: command, status: outcome.status, errors: outcome.errors + outcome.output)
        }
        return outcome.output
    }

    /// Runs a program of the lab's own in the host's network alone, where it sees this process's process numbers.
    func configure(_ tool: Tool, _ arguments: [String], input: String = "") throws(LabError) {
        let command = [try tool.located()] + arguments
        let process = try LabProcess(
            launch: try enter(["--net"]) + command, command: command, environment: Host.environment,
            input: try Input.bytes(Array(input.utf8)).opened())
        let status = try process.wait(.seconds(10))
        guard status == .success else {
            throw .failed(command: command, status: status, errors: process.standardError + input)
        }
    }

    private func enter(_ spaces: [String]) throws(LabError) -> [String] {
        var arguments = [try Tool.nsenter.located(), "--target", "\(initialProcess)"]
        if inUserNamespace { arguments += ["--user", "--preserve-credentials"] }
        return arguments + spaces + ["--"]
    }

    /// Waits until a program on the host listens on a TCP port (IPv4 or IPv6).
    public func waitForListener(port: UInt16, within limit: Duration = .seconds(10)) throws(LabError) {
        try waitUntil("listener on port \(port) of \(name)", within: limit) { () throws(LabError) in
            isListening(port: port)
        }
    }

    /// Whether a program on the host listens on a TCP port, from the socket tables of its namespace (proc(5)).
    public func isListening(port: UInt16) -> Bool {
        let digits = String(port, radix: 16, uppercase: true)
        let suffix = ":" + String(repeating: "0", count: 4 - digits.count) + digits
        for table in ["tcp", "tcp6"] {
            guard let file = fopen("/proc/\(initialProcess)/net/\(table)", "re") else { continue }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 512)
            while fgets(&line, Int32(line.count), file) != nil {
                let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                let fields = text.split(separator: " ")
                // Number, local address, remote address, state; 0A is TCP_LISTEN.
                if fields.count > 3, fields[3] == "0A", fields[1].hasSuffix(suffix) { return true }
            }
        }
        return false
    }

    deinit { close() }

    /// Ends the host and everything on it.
    func close() {
        lifeline.withLock { $0 = nil }
        _ = try? container.wait(.seconds(10))
        for process in processes.withLock({ $0 }) { _ = try? process.wait(.seconds(5)) }
    }
}

extension Host.Input {
    fileprivate func opened() throws(LabError) -> Descriptor {
        switch self {
        case .nothing: try labCall("open /dev/null") { usl_open("/dev/null", O_RDONLY | O_CLOEXEC, 0) }
        case .bytes(let bytes): try Capture(bytes).release()
        }
    }
}
