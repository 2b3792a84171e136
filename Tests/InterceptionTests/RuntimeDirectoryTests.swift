import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Interception

@Suite struct RuntimeDirectoryTests {
    let temporary: TemporaryDirectory

    init() throws { temporary = try TemporaryDirectory() }

    @Test func theRuntimeDirectoryOfTheSessionIsUsed() throws {
        let directory = try RuntimeDirectory { $0 == "XDG_RUNTIME_DIR" ? temporary.path : nil }
        #expect(directory.path == temporary.path + "/usl")
        var status = stat()
        #expect(stat(directory.path, &status) == 0 && status.st_mode & 0o7777 == 0o700)
        // A second process finds it as the first left it.
        #expect(try RuntimeDirectory { $0 == "XDG_RUNTIME_DIR" ? temporary.path : nil }.path == directory.path)
    }

    @Test func aDirectoryOpenToOthersIsRefused() throws {
        chmod(temporary.path, 0o770)
        #expect(problem(temporary.path) == .mode(0o770))
    }

    @Test func aLinkIsNotFollowed() throws {
        let link = temporary.path + "/link"
        symlink(temporary.path, link)
        #expect(problem(link) == .notADirectory)
    }

    @Test func aFileIsNoDirectory() throws {
        let file = temporary.path + "/file"
        close(usl_open(file, O_CREAT | O_WRONLY, 0o600))
        #expect(problem(file) == .notADirectory)
    }

    @Test(.enabled(if: geteuid() == 0, "needs root to give a directory away"))
    func someoneElsesDirectoryIsRefused() throws {
        chown(temporary.path, 12345, 12345)
        #expect(problem(temporary.path) == .owner(12345))
    }

    @Test func aMissingParentIsNamed() {
        #expect(problem("/nonexistent/usl") == .unavailable(.noSuchFileOrDirectory))
    }

    @Test func livingSocketsAreListedAndDeadOnesRemoved() throws {
        let directory = try RuntimeDirectory(path: temporary.path)
        let own = directory.socketPath(role: .gateway, process: getpid())
        let alive = try ControlListener(path: own)
        // Somebody listens there, although no such process is to be seen: another PID namespace.
        let elsewhere = directory.socketPath(role: .agent, process: try deadProcess())
        let listening = try ControlListener(path: elsewhere)
        let dead = directory.socketPath(role: .agent, process: try deadProcess())
        if dead != elsewhere { _ = try ControlListener(path: dead) }
        for name in ["agent-.sock", "agent--1.sock", "agent-1", "other-1.sock", "agent-1-2.sock"] {
            close(usl_open(temporary.path + "/" + name, O_CREAT | O_WRONLY, 0o600))
        }
        let paths = try directory.entries().map(\.path)
        #expect(Set(paths) == [own, elsewhere])
        #expect(access(dead, F_OK) != 0 || dead == elsewhere)
        _ = (alive.descriptor.number, listening.descriptor.number)
    }

    /// The number of a process that has ended.
    private func deadProcess() throws -> pid_t {
        let child = try ChildProcess.spawn(["true"])
        let pid = child.pid
        try child.wait()
        return pid
    }

    private func problem(_ path: String) -> RuntimeDirectoryError.Problem? {
        do {
            _ = try RuntimeDirectory(path: path)
            return nil
        } catch {
            return error.problem
        }
    }
}
