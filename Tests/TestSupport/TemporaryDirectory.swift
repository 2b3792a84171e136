import CLinux
public import Kernel
import SystemPackage

/// A directory of its own for a test, which ends with it.
public final class TemporaryDirectory {
    public let path: String
    /// One in it, which is not there yet.
    public var state: StateDirectory { StateDirectory(path: path + "/state") }

    public init() throws {
        var template = Array("/tmp/usl-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Errno(rawValue: usl_errno()) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    deinit { _ = try? ChildProcess.spawn(["rm", "-rf", path]).wait() }
}

/// What is in a directory, but for what is hidden, in order.
public func names(in path: String) throws -> [String] {
    guard let listing = opendir(path) else { throw Errno(rawValue: usl_errno()) }
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

/// Puts a text into a file, in place.
public func put(_ text: String, into path: String) throws {
    let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)))
    guard write(file.number, text, text.utf8.count) == text.utf8.count else { throw Errno.ioError }
}

/// What is in a file.
public func text(of path: String) throws -> String {
    String(decoding: try FileContent.read(path, limit: 1 << 20), as: UTF8.self)
}
