import CLinux
import Kernel
import NetworkLab
import TestSupport
import Testing

/// A program of the folder `Probes`, in one language, or linked in one way.
enum ProbeProgram: String, CaseIterable, Sendable {
    case c = "C"
    case staticC = "C, statically linked"
    case python = "Python"
    case go = "Go"
    case java = "Java"
    case node = "Node"

    /// What `make test` runs.
    static let usual: [ProbeProgram] = [.c, .staticC, .python]
    /// What takes longer to make and to start, and needs packages of its own.
    static let others: [ProbeProgram] = [.go, .java, .node]

    /// Where the probes' sources are.
    static let folder = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined() + "/Probes"

    private static let compile = [
        "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-pthread",
    ]

    /// Makes the program in a directory, where it has to be made.
    ///
    /// - Returns: the command that runs all its cases; behind it go the targets.
    func build(in directory: String) throws -> [String] {
        switch self {
        case .c: [try Self.compileC(Self.connect, directory), "all"]
        case .staticC: [try Self.compileC(Self.connect, directory, ["-static"]), "all"]
        case .python: ["/usr/bin/python3", Self.folder + "/connect.py"]
        case .go:
            [try Self.makeGo("connect", in: directory)]
        case .java:
            [
                "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp",
                try Self.makeJava("Connect", in: directory), "Connect",
            ]
        case .node: ["node", Self.folder + "/connect.mjs"]
        }
    }

    /// The C program's sources.
    private static let connect = ["connect", "probe", "connecting", "waiting", "calling", "local"]

    /// Compiles sources of the folder into a program that has the name of the first.
    static func compileC(
        _ sources: [String], _ directory: String, _ options: [String] = [], compiler: String = "cc"
    ) throws -> String {
        let program = directory + "/" + sources[0] + options.joined()
        return try make(
            [compiler] + compile + options + sources.map { "\(folder)/\($0).c" } + ["-o", program], program)
    }

    /// Compiles a Go program of the folder.
    static func makeGo(_ name: String, in directory: String) throws -> String {
        let program = "\(directory)/\(name)-go"
        return try make(
            ["go", "build", "-o", program, "\(folder)/\(name).go"], program,
            // Without cgo, Go makes its system calls itself.
            environment: ["CGO_ENABLED=0", "GO111MODULE=off", "GOCACHE=\(directory)/go"])
    }

    /// Compiles a Java class of the folder.
    ///
    /// - Returns: the class path.
    static func makeJava(_ name: String, in directory: String) throws -> String {
        try make(["javac", "-d", directory + "/java", "\(folder)/\(name).java"], directory + "/java")
    }

    /// Runs a command that makes `product`.
    private static func make(_ command: [String], _ product: String, environment: [String] = []) throws -> String {
        let log = product + ".log"
        let errors = try Descriptor(owning: check(usl_open(log, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)))
        var attributes = ChildProcess.Attributes()
        attributes.descriptors = [(errors.number, 1), (errors.number, 2)]
        let command = ["/usr/bin/env"] + environment + command
        let status = try ChildProcess.spawn(command.map { Array($0.utf8) }, attributes).wait()
        let output = try text(of: log)
        try #require(status == .success, "\(command): \(output)")
        return product
    }
}
