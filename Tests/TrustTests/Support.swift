import CLinux
import Kernel
import Testing
import Transport

/// A directory of its own for a test, which ends with it.
final class TemporaryDirectory {
    let path: String
    var state: StateDirectory { StateDirectory(path: path + "/state") }

    init() throws {
        var template = Array("/tmp/usl-trust-XXXXXX".utf8CString)
        path = try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    deinit { _ = try? ChildProcess.spawn(["rm", "-rf", path]).wait() }

    /// What is in the state directory.
    func names() throws -> [String] {
        let listing = try #require(opendir(state.path))
        defer { closedir(listing) }
        var names: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}

/// Puts a text into a file, in place.
func put(_ text: String, into path: String) throws {
    let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)))
    try #require(write(file.number, text, text.utf8.count) == text.utf8.count)
}

func text(of path: String) throws -> String {
    String(decoding: try FileContent.read(path, limit: 1 << 20), as: UTF8.self)
}

/// Fingerprints that differ in one character.
func fingerprint(_ letter: Character) throws -> Fingerprint {
    try #require(Fingerprint("SHA256:" + String(letter) + String(repeating: "A", count: 42)))
}
