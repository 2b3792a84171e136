import CLinux
import Kernel
import Synchronization
import SystemPackage

/// What lies between an interface of a host and the router: a process that passes packets on, with faults (`PathRelay`).
public final class Path: Sendable {
    public enum Direction: Sendable {
        /// From the host.
        case out
        /// To the host.
        case back
        case both
    }

    /// What became of the packets of one direction so far.
    public struct Counts: Sendable, Equatable {
        public let passed: Int
        public let lost: Int
        public let overflowed: Int
    }

    private struct Control: ~Copyable, Sendable {
        /// A socket, as writing to the pipe of a process that has gone would be a signal.
        let input: Descriptor
        var lines = 0
    }

    private let process: LabProcess
    private let control: Mutex<Control>

    /// Starts the relay on `wire`, whose interfaces are `near`, to the host, and `far`, to the router.
    init(wire: Host, near: String, far: String, seed: UInt64) throws(LabError) {
        let ends = try labCalls("socketpair") { () throws(Errno) in try SocketPair(nonBlocking: false) }
        let other = try labCalls("fcntl") { () throws(Errno) in try ends.second.duplicate() }
        process = try wire.start([try LabTool.path(), "path", near, far, "\(seed)"], reading: other)
        try process.waitForOutput("ready")
        control = Mutex(Control(input: ends.keepFirst()))
    }

    /// Changes the faults of a direction; returns when they are in effect. What is under way arrives as it would have.
    public func set(_ faults: PathFaults, _ direction: Direction = .both) throws(LabError) {
        let directions = direction == .both ? [0, 1] : direction == .out ? [0] : [1]
        for direction in directions { _ = try tell("faults \(direction) \(faults.text)") }
    }

    /// For `out` and `back`.
    public func counts() throws(LabError) -> (out: Counts, back: Counts) {
        let numbers = try tell("counts").split(separator: " ").compactMap { Int($0) }
        guard numbers.count == 6 else { throw .system(call: "counts", reason: process.standardError) }
        func counts(_ first: Int) -> Counts {
            Counts(passed: numbers[first], lost: numbers[first + 1], overflowed: numbers[first + 2])
        }
        return (counts(0), counts(3))
    }

    /// Gives the relay a line and waits for its answer.
    private func tell(_ line: String) throws(LabError) -> String {
        let result: Result<String, LabError> = control.withLock { control in
            control.lines += 1
            let bytes = Array((line + "\n").utf8)
            let number = control.input.number
            guard send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else {
                return .failure(.system(call: "control of a path", reason: process.standardError))
            }
            let mark = "done \(control.lines)"
            do throws(LabError) {
                var answer: Substring?
                try waitUntil("answer to '\(line)'", within: .seconds(5)) { () throws(LabError) in
                    answer = process.standardOutput.split(separator: "\n").last {
                        $0 == mark || $0.hasPrefix(mark + " ")
                    }
                    if answer == nil, let over = process.ended {
                        throw .failed(command: process.command, status: over, errors: process.standardError)
                    }
                    return answer != nil
                }
                return .success(String(answer?.dropFirst(mark.count) ?? ""))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
