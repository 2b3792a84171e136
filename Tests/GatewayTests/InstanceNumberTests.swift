import CLinux
import Kernel
import Logging
import Testing

@testable import Gateway

@Suite("Instance number")
struct InstanceNumberTests {
    private let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    @Test("it is made once, in a directory that need not exist, and then stays")
    func stays() throws {
        try withDirectory { directory in
            let path = directory + "/a/b"
            let number = InstanceNumber.load(from: StateDirectory(path: path), logger)
            #expect(number != 0)
            #expect(InstanceNumber.load(from: StateDirectory(path: path), logger) == number)
            #expect(names(in: path) == ["instance"])
            unlink(path + "/instance")
            rmdir(path)
            rmdir(directory + "/a")
        }
    }

    @Test("without a directory to write to there is one all the same")
    func unusable() throws {
        try withDirectory { directory in
            let file = directory + "/file"
            _ = Descriptor(owning: try check(usl_open(file, O_WRONLY | O_CREAT, 0o600)))
            #expect(InstanceNumber.load(from: StateDirectory(path: file + "/state"), logger) != 0)
            unlink(file)
        }
    }

    @Test("a file that holds no number is left alone", arguments: ["", "no number\n"])
    func spoiled(content: String) throws {
        try withDirectory { directory in
            let file = Descriptor(owning: try check(usl_open(directory + "/instance", O_WRONLY | O_CREAT, 0o600)))
            let bytes = Array(content.utf8)
            #expect(write(file.number, bytes, bytes.count) == bytes.count)
            #expect(InstanceNumber.load(from: StateDirectory(path: directory), logger) != 0)
            #expect(names(in: directory) == ["instance"])
            unlink(directory + "/instance")
        }
    }

    private func withDirectory(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/usl-instance-XXXXXX".utf8CString)
        let path = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { rmdir(path) }
        try body(path)
    }

    private func names(in path: String) -> [String] {
        guard let listing = opendir(path) else { return [] }
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
