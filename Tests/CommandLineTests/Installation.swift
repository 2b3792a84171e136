import CLinux
import Kernel
import SystemPackage
import Testing

/// USL as it is installed, in a temporary directory, with control sockets of its own.
final class Installation {
    let directory: String
    var usl: String { directory + "/bin/usl" }

    init() throws {
        var template = Array("/tmp/usl-tests-XXXXXX".utf8CString)
        _ = try #require(mkdtemp(&template))
        directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        // SwiftPM builds the command and the library beside the tests.
        let script = """
            built=$(dirname "$(readlink /proc/\(getpid())/exe)") && mkdir -p "$0/bin" "$0/lib/usl" "$0/run" &&
            cp "$built/usl" "$0/bin/usl" && cp "$built/libuslpreload.so" "$0/lib/usl/libusl.so" && chmod 700 "$0/run"
            """
        let made = try ChildProcess.spawn(["sh", "-c", script, directory]).wait()
        try #require(made == .success, "run `swift build` with these options first")
    }

    deinit { _ = try? ChildProcess.spawn(["rm", "-rf", directory]).wait() }

    /// What a program did.
    struct Outcome: Equatable {
        var status: Termination
        var output: String
        var errors: String
    }

    /// The environment of this process, with the control sockets of this installation.
    func environment(_ more: [String: String] = [:]) -> [String] {
        var variables = more.merging(["XDG_RUNTIME_DIR": directory + "/run", "SWIFT_BACKTRACE": "enable=no"]) { $1 }
        var entry = usl_environ()
        while let text = entry?.pointee.map({ String(cString: $0) }) {
            let name = String(text.prefix { $0 != "=" })
            if variables[name] == nil { variables[name] = String(text.dropFirst(name.count + 1)) }
            entry = entry?.advanced(by: 1)
        }
        return variables.map { "\($0)=\($1)" }
    }

    /// Runs a command to its end.
    func run(_ arguments: [String], input: String = "", environment more: [String: String] = [:]) throws -> Outcome {
        // A file and no pipe: writing to one whose reader has gone would kill this process.
        let file = Descriptor(owning: try check(usl_memfd_create("input", UInt32(MFD_CLOEXEC))))
        try #require(pwrite(file.number, input, input.utf8.count, 0) == input.utf8.count)
        let running = try start(arguments, input: file.number, environment: more)
        let output = try running.output.readToEnd()
        let errors = try running.errors.readToEnd()
        return Outcome(status: try running.child.wait(), output: output, errors: errors)
    }

    /// A command that runs.
    struct Running: ~Copyable {
        let child: ChildProcess
        /// Its standard input ends when this does.
        var input: Descriptor?
        let output: Reader
        let errors: Reader
    }

    /// - Parameter input: its standard input; if none is given, one that stays open and empty.
    func start(
        _ arguments: [String], input: Int32? = nil, environment more: [String: String] = [:]
    ) throws -> Running {
        var standardInput = try Pipe()
        var output = try Pipe()
        var errors = try Pipe()
        let child = try ChildProcess.spawn(
            arguments, environment: environment(more), standardInput: input ?? standardInput.reader?.number,
            standardOutput: output.writer?.number, standardError: errors.writer?.number)
        output.writer = nil
        errors.writer = nil
        return Running(
            child: child, input: standardInput.writer.take(), output: Reader(try unwrap(output.reader.take())),
            errors: Reader(try unwrap(errors.reader.take())))
    }

    /// The keepers that have a control socket here.
    func keepers(_ role: String = "agent") -> [pid_t] {
        guard let listing = opendir(directory + "/run/usl") else { return [] }
        defer { closedir(listing) }
        var keepers: [pid_t] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if name.hasPrefix(role + "-"), let pid = pid_t(name.dropFirst(role.count + 1).prefix { $0 != "." }) {
                keepers.append(pid)
            }
        }
        return keepers
    }
}

private struct Pipe: ~Copyable {
    var reader: Descriptor?
    var writer: Descriptor?

    init() throws {
        var ends: [Int32] = [-1, -1]
        try check(pipe2(&ends, O_CLOEXEC))
        reader = Descriptor(owning: ends[0])
        writer = Descriptor(owning: ends[1])
    }
}

/// Reads what a program writes, and never longer than ten seconds.
struct Reader: ~Copyable {
    private let descriptor: Descriptor

    init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Until nobody can write any more.
    borrowing func readToEnd() throws -> String { try read { _ in false } }

    /// Until a line has come.
    borrowing func readLine() throws -> String { try read { $0.last == UInt8(ascii: "\n") } }

    private borrowing func read(until isEnough: ([UInt8]) -> Bool) throws -> String {
        var bytes: [UInt8] = []
        let deadline = ContinuousClock.now + .seconds(10)
        while !isEnough(bytes) {
            var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
            let left = max(.zero, deadline - .now)
            try #require(
                try retrying { poll(&entry, 1, Int32(left / .milliseconds(1))) } > 0,
                "nothing more after \(String(decoding: bytes, as: UTF8.self))")
            var byte: UInt8 = 0
            if try retrying({ CLinux.read(descriptor.number, &byte, 1) }) == 0 { break }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// `#require` for what cannot be copied.
func unwrap<Value: ~Copyable>(_ value: consuming Value?) throws -> Value {
    if let value { return value }
    throw MissingValue()
}

struct MissingValue: Error {}

/// Waits until something is so, for ten seconds at most.
func eventually(sourceLocation: SourceLocation = #_sourceLocation, _ isSo: () -> Bool) {
    let deadline = ContinuousClock.now + .seconds(10)
    while !isSo() {
        guard ContinuousClock.now < deadline else {
            Issue.record("still not so after ten seconds", sourceLocation: sourceLocation)
            return
        }
        usleep(2000)
    }
}
