import CLinux
import Kernel
import SystemPackage
import Testing

@Suite("ChildProcess")
struct ChildProcessTests {
    /// Runs `arguments` and returns what it wrote to standard output, and how it ended.
    private func output(
        of arguments: [String], _ change: (inout ChildProcess.Attributes) -> Void = { _ in }
    ) throws -> (text: String, status: Termination) {
        var ends: [Int32] = [-1, -1]
        try check(pipe2(&ends, O_CLOEXEC))
        let reader = Descriptor(owning: ends[0])
        var attributes = ChildProcess.Attributes()
        attributes.descriptors = [(ends[1], 1)]
        change(&attributes)
        let writer = Descriptor(owning: ends[1])
        let child = try ChildProcess.spawn(arguments.map { Array($0.utf8) }, attributes)
        _ = consume writer
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = try retrying { read(reader.number, &chunk, chunk.count) }
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        return (String(decoding: bytes, as: UTF8.self), try child.wait())
    }

    @Test("reports an exit status")
    func exits() throws {
        #expect(try output(of: ["sh", "-c", "echo hello; exit 7"]) == ("hello\n", .exited(7)))
    }

    @Test("reports death by a signal")
    func diesBySignal() throws {
        let child = try ChildProcess.spawn(["sleep", "100"])
        try child.send(signal: SIGTERM)
        #expect(try child.wait() == .signaled(SIGTERM))
        #expect(throws: Errno.noSuchProcess) { try child.send(signal: SIGTERM) }
    }

    @Test("gives up waiting when the time is over")
    func waitsForAWhile() throws {
        let child = try ChildProcess.spawn(["sleep", "100"])
        #expect(try child.wait(milliseconds: 1) == nil)
        try child.send(signal: SIGKILL)
        #expect(try child.wait(milliseconds: 10_000) == .signaled(SIGKILL))
    }

    @Test("tells a missing program from one that may not run")
    func reportsWhyNot() {
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try ChildProcess.spawn(["usl-no-such-program"]) }
        #expect(throws: Errno.noSuchFileOrDirectory) { _ = try ChildProcess.spawn([""]) }
        #expect(throws: Errno.permissionDenied) { _ = try ChildProcess.spawn(["/etc/passwd"]) }
    }

    @Test("gives a file without an interpreter line to the shell")
    func runsScripts() throws {
        // A shell writes it: while this process has it open, a child that another test just forked has it open too, and
        // nothing that is open for writing can be executed.
        let made = try output(of: ["sh", "-c", #"f=$(mktemp) && echo 'echo "$0 $1"' >$f && chmod 700 $f && echo $f"#])
        let name = String(made.text.dropLast())
        defer { unlink(name) }
        #expect(try output(of: [name, "argument"]) == ("\(name) argument\n", .success))
    }

    @Test("passes environment and working directory")
    func passesEnvironment() throws {
        let result = try output(of: ["sh", "-c", "echo $NAME; pwd"]) {
            $0.environment = ["NAME=value"]
            $0.workingDirectory = "/usr"
        }
        #expect(result == ("value\n/usr\n", .success))
    }

    @Test("starts a process group of its own")
    func leadsItsGroup() throws {
        let child = try output(of: [
            "sh", "-c", "echo $$; ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat",
        ]) {
            $0.processGroup = .own
        }
        let numbers = child.text.split(whereSeparator: \.isWhitespace)
        #expect(numbers.count == 2 && numbers[0] == numbers[1])
    }

    @Test("passes exactly the descriptors it is told to")
    func passesDescriptors() throws {
        let secret = Descriptor(owning: try check(usl_open("/dev/null", O_RDONLY | O_CLOEXEC, 0)))
        let kept = try secret.duplicate()
        let result = try output(of: ["sh", "-c", "ls /proc/self/fd"]) { $0.descriptors.append((kept.number, 100)) }
        let numbers = result.text.split(separator: "\n").map(String.init)
        #expect(numbers.contains("100"))
        #expect(!numbers.contains("\(secret.number)") || secret.number < 4)
    }

    @Test("bytes that are not UTF-8 arrive unchanged")
    func passesBytes() throws {
        let arguments = [Array("test".utf8), [0xff, 0xfe], Array("=".utf8), [0xff, 0xfe]]
        #expect(try ChildProcess.spawn(arguments).wait() == .success)
        #expect(try ChildProcess.spawn(arguments.dropLast() + [[0xff, 0xfd]]).wait() == .exited(1))
    }

    @Test("a child that prepares itself by itself")
    func preparedChild() throws {
        let group = getpgrp()
        let child = try ChildProcess.fork(
            [Array("sh".utf8), Array("-c".utf8), Array("exit 5".utf8)], joining: group, signalMask: SignalSet()
        ) { () throws(Errno) in }
        #expect(try child.wait() == .exited(5))
    }

    @Test("says whether its preparation or the program is to blame")
    func preparedChildThatFails() throws {
        let group = getpgrp()
        let words = [Array("/nowhere/at/all".utf8)]
        do throws(ChildProcess.StartFailure) {
            _ = try ChildProcess.fork(words, joining: group, signalMask: SignalSet()) { () throws(Errno) in }
            Issue.record("a program that is not there was started")
        } catch {
            guard case .execution(.noSuchFileOrDirectory) = error else { throw error }
        }
        do throws(ChildProcess.StartFailure) {
            _ = try ChildProcess.fork(words, joining: group, signalMask: SignalSet()) { () throws(Errno) in
                throw .resourceBusy
            }
            Issue.record("a program was started though it was not prepared")
        } catch {
            guard case .preparation(.resourceBusy) = error else { throw error }
        }
    }
}
