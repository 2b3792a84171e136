import CLinux
import Kernel
import Policy
import SessionProtocol
import SystemPackage
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Watching the configuration")
struct ConfigurationWatchTests {
    /// A user's configuration in a temporary folder, and what is told of it.
    private final class Watched {
        let directory: String
        let loop: EventLoop
        var told: [Result<Configuration, any Error>] = []
        private(set) var watch: ConfigurationWatch?

        init(_ before: (String) throws -> Void = { _ in }, named: ((String) -> String)? = nil) throws {
            var template = Array("/tmp/usl-watch-XXXXXX".utf8CString)
            directory = try #require(mkdtemp(&template).map { String(cString: $0) })
            loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
            try before(directory)
            let files = try ConfigurationFiles(
                environment: { [directory] in $0 == "XDG_CONFIG_HOME" ? directory : nil }, named: named?(directory))
            watch = ConfigurationWatch(files, on: loop) { [unowned self] in
                told.append($0)
            }
        }

        deinit { _ = try? ChildProcess.spawn(["rm", "-rf", directory]).wait() }

        var current: Configuration? { watch?.current }

        func shell(_ script: String) throws { try Self.shell(script, in: directory) }

        static func shell(_ script: String, in directory: String) throws {
            #expect(try ChildProcess.spawn(["sh", "-ec", script, directory]).wait() == .success)
        }

        /// What is told next.
        func next() throws -> Result<Configuration, any Error> {
            let deadline = ContinuousClock.now + .seconds(10)
            while told.isEmpty, ContinuousClock.now < deadline {
                loop.mailbox.post { _ in }
                loop.turn()
                usleep(200)
            }
            return try #require(told.isEmpty ? nil : told.removeFirst())
        }

        func sessions() throws -> Int { try next().get().limits.sessions }
    }

    private static func text(_ sessions: Int) -> String { "[limits]\\nsessions = \(sessions)\\n" }

    @Test("a file that comes, changes in its place, is replaced, and goes")
    func life() throws {
        let watched = try Watched()
        #expect(watched.current == Configuration())
        // Its folder is not there yet either.
        try watched.shell("mkdir $0/usl; printf '\(Self.text(1))' > $0/usl/usl.toml")
        #expect(try watched.sessions() == 1)
        try watched.shell("printf '\(Self.text(2))' > $0/usl/usl.toml")
        #expect(try watched.sessions() == 2)
        try watched.shell("printf '\(Self.text(3))' > $0/usl/new; mv $0/usl/new $0/usl/usl.toml")
        #expect(try watched.sessions() == 3)
        try watched.shell("rm $0/usl/usl.toml")
        #expect(try watched.sessions() == Limits().sessions)
        try watched.shell("rmdir $0/usl; mkdir $0/usl; printf '\(Self.text(4))' > $0/usl/usl.toml")
        #expect(try watched.sessions() == 4)
    }

    @Test("a mistake is told, and what is right again as well")
    func mistakes() throws {
        let watched = try Watched { directory in
            mkdir(directory + "/usl", 0o700)
        }
        try watched.shell("printf '[limits]\\nsesions = 5\\n' > $0/usl/usl.toml")
        let mistake = #expect(throws: ConfigurationError.self) { try watched.next().get() }
        #expect(
            mistake?.description
                == "\(watched.directory)/usl/usl.toml:2: unknown key 'limits.sesions'; did you mean 'sessions'?")
        #expect(watched.current == nil)
        try watched.shell("printf '\(Self.text(5))' > $0/usl/usl.toml")
        #expect(try watched.sessions() == 5)
    }

    @Test("what a symbolic link leads to is watched too")
    func links() throws {
        let watched = try Watched { directory in
            mkdir(directory + "/usl", 0o700)
            mkdir(directory + "/elsewhere", 0o700)
            try check(symlink(directory + "/elsewhere/file", directory + "/usl/usl.toml"))
        }
        try watched.shell("printf '\(Self.text(6))' > $0/elsewhere/file")
        watched.watch?.reload()
        #expect(try watched.sessions() == 6)
        try watched.shell("printf '\(Self.text(7))' > $0/elsewhere/new; mv $0/elsewhere/new $0/elsewhere/file")
        #expect(try watched.sessions() == 7)
    }

    @Test("a named file must be there, and a reload tells it even if nothing is new")
    func named() throws {
        #expect(throws: ConfigurationFiles.Unreadable.self) {
            try ConfigurationFiles(environment: { _ in nil }, named: "/nonexistent/usl.toml").load()
        }
        let watched = try Watched(
            { try Watched.shell("printf '\(Self.text(8))' > $0/x", in: $0) }, named: { $0 + "/x" })
        watched.watch?.reload()
        #expect(try watched.sessions() == 8)
        try watched.shell("rm $0/x")
        #expect(throws: ConfigurationFiles.Unreadable.self) { try watched.next().get() }
    }

    @Test("a pipe is read once, and says the same for ever")
    func pipes() throws {
        var ends: [Int32] = [-1, -1]
        try check(pipe2(&ends, O_CLOEXEC))
        let reader = Descriptor(owning: ends[0])
        var writer: Descriptor? = Descriptor(owning: ends[1])
        let text = Array("[limits]\nsessions = 9\n".utf8)
        #expect(write(ends[1], text, text.count) == text.count)
        writer = nil
        _ = consume writer
        let files = try ConfigurationFiles(environment: { _ in nil }, named: "/proc/self/fd/\(reader.number)")
        #expect(try files.load().limits.sessions == 9 && files.load().limits.sessions == 9)
    }
}
