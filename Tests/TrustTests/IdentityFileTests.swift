import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing
import Transport
import Trust

@Suite struct IdentityFileTests {
    let directory: TemporaryDirectory
    let file: IdentityFile

    init() throws {
        directory = try TemporaryDirectory()
        file = IdentityFile(in: directory.state)
    }

    private func problem() throws -> IdentityFileError.Problem? {
        do throws(IdentityFileError) {
            _ = try file.load()
            return nil
        } catch {
            #expect(error.description.contains(error.path))
            return error.problem
        }
    }

    @Test func isMadeOnceAndForThisUserAlone() throws {
        let before = umask(0)
        defer { umask(before) }
        let first = try file.load().fingerprint
        #expect(try file.load().fingerprint == first)
        #expect(try names(in: directory.state.path) == ["identity.pem"])
        var status = stat()
        #expect(stat(file.path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(stat(directory.state.path, &status) == 0 && status.st_mode & 0o7777 == 0o700)
    }

    @Test func manyThatStartAtOnceAreOne() async throws {
        let file = file
        let fingerprints = try await withThrowingTaskGroup(of: Fingerprint.self) { group in
            for _ in 0..<16 { group.addTask { try file.load().fingerprint } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(fingerprints.count == 1)
        #expect(try names(in: directory.state.path) == ["identity.pem"])
    }

    @Test(arguments: [0o640, 0o604, 0o620, 0o660]) func refusesWhatOthersMayReadOrWrite(mode: UInt32) throws {
        _ = try file.load()
        chmod(file.path, mode)
        #expect(try problem() == .mode(mode, wanted: ~0o077))
    }

    @Test(arguments: [0o770, 0o702]) func refusesADirectoryThatOthersMayWriteTo(mode: UInt32) throws {
        _ = try file.load()
        chmod(directory.state.path, mode)
        #expect(try problem() == .mode(mode, wanted: ~0o022))
        unlink(file.path)
        #expect(try problem() == .mode(mode, wanted: ~0o022))
        #expect(try names(in: directory.state.path) == [])
    }

    @Test(.enabled(if: geteuid() == 0, "gives a file to another user")) func refusesWhatBelongsToOthers() throws {
        _ = try file.load()
        chown(file.path, 65534, 65534)
        #expect(try problem() == .owner(65534))
    }

    @Test func refusesWhatIsNoFile() throws {
        let fingerprint = try file.load().fingerprint
        let moved = directory.path + "/moved"
        try check(rename(file.path, moved))
        try check(symlink(moved, file.path))
        #expect(try problem() == .kind)
        unlink(file.path)
        try check(mkfifo(file.path, 0o600))
        #expect(try problem() == .kind)
        unlink(file.path)
        try check(rename(moved, file.path))
        #expect(try file.load().fingerprint == fingerprint)
    }

    /// It is never replaced: others would no longer know this end.
    @Test func refusesWhatIsDamaged() throws {
        _ = try file.load()
        let whole = try text(of: file.path)
        for damaged in ["", "no PEM\n", String(whole.dropLast(whole.count / 2))] {
            try put(damaged, into: file.path)
            guard case .damaged = try problem() else {
                Issue.record("taken for an identity: \(damaged)")
                continue
            }
            #expect(try text(of: file.path) == damaged)
        }
        try put(whole, into: file.path)
        #expect(try problem() == nil)
    }

    @Test func saysWhereItCannotBe() throws {
        do throws(IdentityFileError) {
            _ = try IdentityFile(in: StateDirectory(path: "/proc/no/where")).load()
            Issue.record("made an identity in /proc")
        } catch {
            #expect(error.problem == .unwritable(.noSuchFileOrDirectory) && error.path == "/proc/no/where")
        }
    }
}
