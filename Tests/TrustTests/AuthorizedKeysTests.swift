import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing
import Transport
import Trust

@Suite struct AuthorizedKeysTests {
    let directory: TemporaryDirectory
    var path: String { directory.path + "/authorized" }

    init() throws { directory = try TemporaryDirectory() }

    @Test func readsKeysAndNames() throws {
        let (one, other) = (try fingerprint("B"), try fingerprint("C"))
        try put("# clients\n\n\(one) laptop of Ann # since May\n  \(other)\n", into: path)
        var keys = AuthorizedKeys(path: path)
        #expect(keys.accepted == .only([]))
        #expect(keys.refresh() == [])
        #expect(keys.accepted == .only([one, other]))
        #expect(keys.name(of: one) == "laptop of Ann")
        #expect(keys.name(of: other) == "")
        #expect(keys.name(of: try fingerprint("D")) == nil)
    }

    @Test func mistakesAreToldOnceWithTheirLines() throws {
        let one = try fingerprint("B")
        try put("\(one)\nlaptop \(one)\nSHA256:short\n", into: path)
        var keys = AuthorizedKeys(path: path)
        let reports = keys.refresh()
        #expect(reports.count == 2)
        #expect(reports.first?.description.hasPrefix("\(path):2: 'laptop' is no fingerprint") == true)
        #expect(reports.last?.description.hasPrefix("\(path):3: ") == true)
        #expect(keys.accepted == .only([one]))
        #expect(keys.refresh() == [])
    }

    @Test func isReadAgainWhenItChanges() throws {
        let (one, other) = (try fingerprint("B"), try fingerprint("C"))
        try put("\(one)\n", into: path)
        var keys = AuthorizedKeys(path: path)
        #expect(keys.refresh() == [])
        // In place and as long as before, with the old time put back.
        var before = stat()
        stat(path, &before)
        var after = before
        // The file system's clock goes in steps.
        while after.st_ctim.tv_sec == before.st_ctim.tv_sec, after.st_ctim.tv_nsec == before.st_ctim.tv_nsec {
            try put("\(other)\n", into: path)
            let times = [before.st_atim, before.st_mtim]
            try check(utimensat(AT_FDCWD, path, times, 0))
            stat(path, &after)
        }
        #expect(keys.refresh() == [])
        #expect(keys.accepted == .only([other]))
        // By another file in its place.
        try put("\(one)\n\(other)\n", into: path + ".new")
        try check(rename(path + ".new", path))
        #expect(keys.refresh() == [])
        #expect(keys.accepted == .only([one, other]))
    }

    @Test func aFileThatIsGoneAdmitsNobody() throws {
        let one = try fingerprint("B")
        var keys = AuthorizedKeys(path: path)
        #expect(keys.refresh() == [.unreadable(path: path, .noSuchFileOrDirectory)])
        #expect(keys.refresh() == [])
        try put("\(one)\n", into: path)
        #expect(keys.refresh() == [] && keys.accepted == .only([one]))
        unlink(path)
        #expect(keys.refresh() == [.unreadable(path: path, .noSuchFileOrDirectory)])
        #expect(keys.accepted == .only([]) && keys.name(of: one) == nil)
        #expect(keys.refresh() == [])
        try check(mkdir(path, 0o700))
        #expect(keys.refresh() == [.unreadable(path: path, .isDirectory)])
        #expect(keys.refresh() == [])
        rmdir(path)
        try put("\(one)\n", into: path)
        #expect(keys.refresh() == [] && keys.accepted == .only([one]))
        try put(String(repeating: "#\n", count: 3 << 20), into: path)
        #expect(keys.refresh() == [.tooLong(path: path)] && keys.accepted == .only([]))
        #expect(keys.refresh() == [])
    }
}
