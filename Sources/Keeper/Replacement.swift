import CLinux
public import Kernel
public import SystemPackage

/// Another program that a keeper shall become, in its own process: the new binary of an upgrade.
public struct Replacement: Equatable, Sendable {
    /// The path of its file.
    public var executable: [UInt8]
    /// Where its relative paths begin; empty: where the keeper was started.
    public var directory: [UInt8]
    /// Its arguments, with its name; none: the keeper's own.
    public var arguments: [[UInt8]]

    public init(executable: [UInt8], directory: [UInt8] = [], arguments: [[UInt8]] = []) {
        self.executable = executable
        self.directory = directory
        self.arguments = arguments
    }

    /// In a memory file, to be passed to the keeper, which so has nothing to wait for.
    public func file() throws(Errno) -> Descriptor {
        var writer = ByteWriter()
        writer.write(list: [executable, directory] + arguments)
        return try memoryFile(writer.bytes, name: "usl-replacement")
    }

    /// nil for anything that `file` does not make.
    init?(reading file: borrowing Descriptor) {
        var reader = ByteReader(contents(of: file))
        guard let parts = reader.readList(), reader.isAtEnd, parts.count >= 2, !parts[0].isEmpty else { return nil }
        self.init(executable: parts[0], directory: parts[1], arguments: Array(parts[2...]))
    }
}

/// A memory file with these bytes.
func memoryFile(_ bytes: [UInt8], name: String) throws(Errno) -> Descriptor {
    let file = Descriptor(owning: try check(usl_memfd_create(name, UInt32(MFD_CLOEXEC))))
    var written = 0
    while written < bytes.count {
        let count = try bytes.withUnsafeBufferPointer { (bytes) throws(Errno) -> Int in
            try retrying { pwrite(file.number, bytes.baseAddress! + written, bytes.count - written, written) }
        }
        written += count
    }
    return file
}

/// All that a file holds; nothing if it cannot be read, or is larger than any that is meant for a keeper.
func contents(of file: borrowing Descriptor) -> [UInt8] {
    var status = stat()
    guard fstat(file.number, &status) == 0, (1...(64 << 20)).contains(status.st_size) else { return [] }
    var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
    let count = pread(file.number, &bytes, bytes.count, 0)
    return count == bytes.count ? bytes : []
}
