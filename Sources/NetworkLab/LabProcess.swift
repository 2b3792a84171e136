import CLinux
public import Kernel
import Synchronization
import SystemPackage

/// A program that was started on a host of the lab. It ends with its host at the latest.
///
/// The program runs in namespaces of its own, one of processes among them, so the process that this one started is
/// `nsenter`, which waits for the program and ends as the program ended.
public final class LabProcess: Sendable {
    public let command: [String]
    private let launcher: ChildProcess
    private let output: Capture
    private let errors: Capture
    private let termination = Mutex<Termination?>(nil)

    /// Starts `launch`, which shall be known as `command`.
    init(
        launch: [String], command: [String], environment: [String: String], input: consuming Descriptor
    ) throws(LabError) {
        self.command = command
        output = try Capture()
        errors = try Capture()
        var attributes = ChildProcess.Attributes()
        attributes.environment = environment.map { "\($0.key)=\($0.value)" }
        attributes.descriptors = [
            (input.number, 0), (output.descriptor.number, 1), (errors.descriptor.number, 2),
        ]
        // A terminal's signals are for the lab, which then ends its programs in order.
        attributes.processGroup = .own
        attributes.signalMask = SignalSet()
        attributes.defaultSignals = .all
        do {
            launcher = try ChildProcess.spawn(launch.map { Array($0.utf8) }, attributes)
        } catch {
            throw .system(call: "start of \(launch[0])", reason: error.description)
        }
    }

    /// What the program has written to its standard output so far.
    public var standardOutput: String { String(decoding: output.contents(), as: UTF8.self) }

    /// What the program has written to its standard error so far.
    public var standardError: String { String(decoding: errors.contents(), as: UTF8.self) }

    /// How the program ended, or nil while it runs.
    public var ended: Termination? {
        termination.withLock { termination in
            // The launcher is waited for here alone, so this cannot fail.
            if termination == nil { termination = try? launcher.wait(milliseconds: 0) }
            return termination
        }
    }

    /// Waits for the program's end.
    ///
    /// - Throws: `LabError.deadline` when it still runs after `limit`; it goes on running.
    @discardableResult
    public func wait(_ limit: Duration) throws(LabError) -> Termination {
        let end = ContinuousClock.now + limit
        while true {
            if let ended { return ended }
            let rest = end - ContinuousClock.now
            guard rest > .zero else {
                throw .deadline(waitingFor: "end of '\(command.joined(separator: " "))'", limit: limit)
            }
            var entry = pollfd(fd: launcher.pidfd.number, events: Int16(POLLIN), revents: 0)
            poll(&entry, 1, rest.pollMilliseconds)
        }
    }

    /// The program's process, as this process sees it; nil before it has started and after it has ended.
    public var pid: Int32? { ended == nil ? firstChild(of: launcher.pid) : nil }

    /// Sends a signal to the program; does nothing when it has ended.
    public func signal(_ number: Int32) {
        // The launcher needs a moment to start the program.
        try? waitUntil("start of '\(command[0])'", within: .seconds(5)) { pid != nil || ended != nil }
        if let pid { kill(pid, number) }
        // The launcher stops together with the program; it goes on only when it is told to.
        if number == SIGCONT { try? launcher.send(signal: number) }
    }

    /// Ends the program, with SIGTERM first and with SIGKILL when that has not helped after `grace`.
    @discardableResult
    public func terminate(grace: Duration = .seconds(5)) -> Termination? {
        signal(SIGTERM)
        if let termination = try? wait(grace) { return termination }
        signal(SIGKILL)
        return try? wait(.seconds(5))
    }

    /// Waits until the program has written `text` to its standard output or error.
    public func waitForOutput(_ text: String, within limit: Duration = .seconds(10)) throws(LabError) {
        try waitUntil("'\(text)' from '\(command.joined(separator: " "))'", within: limit) { () throws(LabError) in
            let over = ended
            if standardOutput.contains(text) || standardError.contains(text) { return true }
            if let over { throw .failed(command: command, status: over, errors: standardError) }
            return false
        }
    }
}

/// The first process that `pid` has started and that has not been waited for (proc(5), `children`).
func firstChild(of pid: pid_t) -> pid_t? {
    guard let file = fopen("/proc/\(pid)/task/\(pid)/children", "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 64)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let child = pid_t(strtol(line, nil, 10))
    return child > 0 ? child : nil
}
