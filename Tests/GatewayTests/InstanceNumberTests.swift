import Kernel
import Logging
import TestSupport
import Testing

@testable import Gateway

@Suite("Instance number")
struct InstanceNumberTests {
    private let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    @Test("it is made once, in a directory that need not exist, and then stays")
    func stays() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path + "/a/b"
        let number = InstanceNumber.load(from: StateDirectory(path: path), logger)
        #expect(number != 0)
        #expect(InstanceNumber.load(from: StateDirectory(path: path), logger) == number)
        #expect(try names(in: path) == ["instance"])
    }

    @Test("without a directory to write to there is one all the same")
    func unusable() throws {
        let directory = try TemporaryDirectory()
        let file = directory.path + "/file"
        try put("", into: file)
        #expect(InstanceNumber.load(from: StateDirectory(path: file + "/state"), logger) != 0)
    }

    @Test("a file that holds no number is left alone", arguments: ["", "no number\n"])
    func spoiled(content: String) throws {
        let directory = try TemporaryDirectory()
        try put(content, into: directory.path + "/instance")
        #expect(InstanceNumber.load(from: StateDirectory(path: directory.path), logger) != 0)
        #expect(try names(in: directory.path) == ["instance"])
        #expect(try text(of: directory.path + "/instance") == content)
    }
}
