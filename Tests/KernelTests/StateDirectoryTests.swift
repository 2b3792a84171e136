import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@Suite("State directory")
struct StateDirectoryTests {
    @Test("it is the system's for root, else the user's")
    func standard() {
        func path(_ variables: [String: String]) -> String { StateDirectory { variables[$0] }.path }
        if geteuid() == 0 {
            #expect(path(["XDG_STATE_HOME": "/s", "HOME": "/h"]) == "/var/lib/usl")
        } else {
            #expect(path(["XDG_STATE_HOME": "/s", "HOME": "/h"]) == "/s/usl")
            #expect(path(["XDG_STATE_HOME": "relative", "HOME": "/h"]) == "/h/.local/state/usl")
        }
    }

    @Test("files are made once, replaced whole, and nothing else is left")
    func files() throws {
        let root = try TemporaryDirectory()
        let directory = StateDirectory(path: root.path + "/a/b")
        let (one, other) = (Array("one".utf8), [UInt8](repeating: 7, count: 100_000))
        #expect(try directory.create("file", one.span.bytes))
        #expect(try directory.create("file", other.span.bytes) == false)
        #expect(try FileContent.read(directory.file("file"), limit: 10) == one)
        try directory.replace("file", other.span.bytes)
        #expect(try FileContent.read(directory.file("file"), limit: 1 << 20) == other)
        #expect(try names(in: directory.path) == ["file"])
    }
}
