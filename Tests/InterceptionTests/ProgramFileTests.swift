import CLinux
import Kernel
import TestSupport
import Testing

@testable import Interception

@Suite struct ProgramFileTests {
    private let temporary: TemporaryDirectory
    private let user = ProgramFile.Caller(user: 1000, group: 1000, isLimited: false)

    init() throws { temporary = try TemporaryDirectory() }

    private func find(_ name: String, for caller: ProgramFile.Caller? = nil) -> ProgramFile? {
        ProgramFile.find(Array(name.utf8), for: caller ?? user)
    }

    private func put(_ bytes: [UInt8], _ name: String, mode: mode_t = 0o755) throws -> String {
        let path = temporary.path + "/" + name
        let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o700)))
        try #require(write(file.number, bytes, bytes.count) == bytes.count)
        try check(fchmod(file.number, mode))
        return path
    }

    private func put(_ text: String, _ name: String, mode: mode_t = 0o755) throws -> String {
        try put(Array(text.utf8), name, mode: mode)
    }

    /// A program of 64 bits, with segments and what they hold behind the header.
    private func program(
        machine: UInt16? = nil, _ segments: [(type: UInt32, content: [UInt8])] = []
    ) throws -> [UInt8] {
        let own = try #require(ELFHeader.own)
        var header = [UInt8](repeating: 0, count: ELFHeader.size)
        header.replaceSubrange(0..<7, with: ELFHeader.magic + [2, 1, 1])
        header.replaceSubrange(18..<20, with: bytes(machine ?? own.machine))
        header.replaceSubrange(32..<40, with: bytes(UInt64(ELFHeader.size)))
        header.replaceSubrange(54..<58, with: bytes(UInt16(56)) + bytes(UInt16(segments.count)))
        var (table, contents): ([UInt8], [UInt8]) = ([], [])
        for (type, content) in segments {
            let place = ELFHeader.size + segments.count * 56 + contents.count
            table +=
                bytes(type) + bytes(UInt32(0)) + bytes(UInt64(place)) + bytes(UInt64(0)) + bytes(UInt64(0))
                + bytes(UInt64(content.count)) + [UInt8](repeating: 0, count: 16)
            contents += content
        }
        return header + table + contents
    }

    private func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private func loader(_ path: String? = nil) throws -> (type: UInt32, content: [UInt8]) {
        let own = try #require(ELFHeader.own?.loader)
        return (3, Array((path ?? own).utf8) + [0])
    }

    @Test func realPrograms() throws {
        #expect(find("cat")?.kind == .dynamic)
        #expect(find("cat").map { String(decoding: $0.path, as: UTF8.self).hasSuffix("/cat") } == true)
        #expect(find("/bin/sh")?.kind == .dynamic)
        #expect(find("no-such-program-as-this") == nil)
        #expect(find("") == nil)
        #expect(find("/etc") == nil)
        #expect(find("/etc/passwd") == nil)
    }

    @Test func kinds() throws {
        let dynamic = try put(try program([loader()]), "dynamic")
        #expect(find(dynamic)?.kind == .dynamic)
        // Distributions differ in where it is.
        let name = try #require(ELFHeader.own?.loader?.split(separator: "/").last)
        #expect(find(try put(try program([loader("/gnu/store/\(name)")]), "elsewhere"))?.kind == .dynamic)
        let musl = "/lib/ld-musl-x86_64.so.1"
        #expect(find(try put(try program([loader(musl)]), "musl"))?.kind == .foreign(.loader(musl)))
        #expect(find(try put(try program(), "static"))?.kind == .static)
        #expect(find(try put(try program(machine: 0x1234), "other"))?.kind == .foreign(.machine(0x1234)))
        var short = try program()
        short[4] = 1
        #expect(find(try put(short, "short"))?.kind == .foreign(.bits32))
        var reversed = try program(machine: 0x0102)
        reversed[5] = 2
        #expect(find(try put(reversed, "reversed"))?.kind == .foreign(.machine(0x0201)))
    }

    /// Behind another note, in the same segment or in one of its own.
    @Test func programsOfGo() throws {
        let gnu =
            bytes(UInt32(4)) + bytes(UInt32(6)) + bytes(UInt32(3)) + Array("GNU".utf8) + [0, 1, 2, 3, 4, 5, 6, 0, 0]
        let go = bytes(UInt32(4)) + bytes(UInt32(3)) + bytes(UInt32(4)) + Array("Go".utf8) + [0, 0, 1, 2, 3, 0]
        for notes in [[gnu + go], [go], [gnu, go]] {
            let segments = notes.map { (type: UInt32(4), content: $0) }
            #expect(find(try put(try program([loader()] + segments), "go"))?.kind == .dynamicGo)
            #expect(find(try put(try program(segments), "go"))?.kind == .static)
        }
        #expect(find(try put(try program([loader(), (4, gnu)]), "c"))?.kind == .dynamic)
    }

    /// Whatever is cut off or wrong is no program that runs, and nothing is read beyond.
    @Test func damagedFiles() throws {
        let whole = try program([loader(), (4, [UInt8](repeating: 0xff, count: 40))])
        for count in stride(from: 0, through: ELFHeader.size + 2 * 56, by: 3) {
            let file = try #require(find(try put(Array(whole.prefix(count)), "cut")))
            // Less than its first four bytes is a text, for the shell.
            #expect(file.kind != .dynamic || count < 4, "\(count)")
        }
        var endless = whole
        endless.replaceSubrange(32..<40, with: [UInt8](repeating: 0xff, count: 8))
        #expect(find(try put(endless, "endless"))?.kind == .notELF)
        #expect(find(try put([0, 1, 2, 3], "binary"))?.kind == .notELF)
    }

    @Test func interpretersAreFollowed() throws {
        let binary = try put(try program(), "interpreter")
        let first = try put("#!\(binary)\nwhatever\n", "first")
        let second = try put("#! \t\(first) -x\n", "second")
        for script in [first, second] {
            let found = try #require(find(script))
            #expect(found.kind == .static && found.path == Array(binary.utf8))
        }
        // env(1) is what runs; which program that looks for then is not known.
        #expect(find(try put("#!/usr/bin/env python3\n", "env"))?.kind == .dynamic)
        // What is a text without a first line like that is the shell's.
        #expect(find(try put("exit 3\n", "shell"))?.path == Array("/bin/sh".utf8))
        let missing = try put("#!/nonexistent/interpreter\n", "missing")
        #expect(find(missing) == nil)
        let circle = try put("#!\(temporary.path)/circle\n", "circle")
        #expect(find(circle)?.kind == .notELF)
    }

    /// Whoever has the privileges already gets none.
    @Test(.enabled(if: geteuid() == 0, "needs root to give privileges away"))
    func privileges() throws {
        let content = try program([loader()])
        let path = try put(content, "privileged", mode: 0o4755)
        #expect(find(path)?.kind == .privileged(.setUserID))
        #expect(find(path, for: .init(user: 0, group: 0, isLimited: false))?.kind == .dynamic)
        #expect(find(path, for: .init(user: 1000, group: 1000, isLimited: true))?.kind == .dynamic)
        #expect(find(try put(content, "group", mode: 0o2755))?.kind == .privileged(.setGroupID))
        #expect(find(try put(content, "locking", mode: 0o2745))?.kind == .dynamic)
        // Those of a script do not count.
        #expect(find(try put("#!\(try put(content, "plain"))\n", "script", mode: 0o4755))?.kind == .dynamic)
        // CAP_NET_RAW, permitted and effective; VFS_CAP_REVISION_2.
        let capable = try put(content, "capable")
        let value: [UInt8] = bytes(UInt32(0x0200_0001)) + bytes(UInt32(1 << 13)) + [UInt8](repeating: 0, count: 12)
        try check(setxattr(capable, "security.capability", value, value.count, 0))
        #expect(find(capable)?.kind == .privileged(.capabilities))
        #expect(find(capable, for: .init(user: 0, group: 0, isLimited: false))?.kind == .dynamic)
    }
}
