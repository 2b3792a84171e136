import CLinux
public import SystemPackage

/// What small files say.
public enum FileContent {
    /// Reads a file, or a pipe that is given by name (`<(…)`), to its end, and not much further than `limit`: whoever asks refuses
    /// what is longer.
    public static func read(_ path: String, limit: Int) throws(Errno) -> [UInt8] {
        try read(Descriptor(owning: try check(usl_open(path, O_RDONLY | O_CLOEXEC, 0))), limit: limit)
    }

    /// The same of an open file, from where it stands.
    public static func read(_ file: borrowing Descriptor, limit: Int) throws(Errno) -> [UInt8] {
        let number = file.number
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while content.count <= limit {
            let count = try retrying { CLinux.read(number, &chunk, chunk.count) }
            if count == 0 { break }
            content += chunk[..<count]
        }
        return content
    }
}
