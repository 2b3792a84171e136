import CLinux
import SystemPackage
import TestSupport
import Testing

@testable import Interception

@Suite struct LaunchEnvironmentTests {
    let temporary: TemporaryDirectory
    let library: String

    init() throws {
        temporary = try TemporaryDirectory()
        library = temporary.path + "/libusl.so"
        close(usl_open(library, O_CREAT | O_WRONLY, 0o600))
    }

    @Test func theLibraryComesFirstAndOnce() throws {
        let environment = try LaunchEnvironment(library: library)
        let applied = environment.applied(
            to: ["A=1", "LD_PRELOAD=/lib/a.so \(library):/lib/b.so", "USL_AGENT=/old"], agent: "/run/agent.sock")
        #expect(applied == ["A=1", "LD_PRELOAD=\(library):/lib/a.so:/lib/b.so", "USL_AGENT=/run/agent.sock"])
        #expect(environment.applied(to: applied, agent: "/run/agent.sock") == applied)
    }

    @Test func anEmptyEnvironmentIsEnough() throws {
        let applied = try LaunchEnvironment(library: library).applied(to: [], agent: "/a")
        #expect(applied == ["LD_PRELOAD=\(library)", "USL_AGENT=/a"])
    }

    @Test func aMissingLibraryIsNamed() {
        let error = #expect(throws: LaunchEnvironmentError.self) {
            _ = try LaunchEnvironment(library: "/nonexistent/x")
        }
        #expect(error?.description.contains("/nonexistent/x") == true)
    }

    @Test func aPathThatTheLoaderWouldSplitIsRefused() throws {
        let path = temporary.path + "/a b.so"
        close(usl_open(path, O_CREAT | O_WRONLY, 0o600))
        let error = #expect(throws: LaunchEnvironmentError.self) { _ = try LaunchEnvironment(library: path) }
        #expect(error?.description.contains("space or a colon") == true)
    }
}
