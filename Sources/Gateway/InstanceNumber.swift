import CLinux
import Kernel
import Logging
import SystemPackage

/// Tells this gateway from any other that might be reached at the same address: a random number, kept in the state
/// directory, so that after a restart its GONE is believed.
enum InstanceNumber {
    private static let fileName = "instance"

    /// The number of the state directory, made on first use. Without a usable directory, a number for this run.
    static func load(from directory: String, _ logger: Logger) -> UInt64 {
        let path = directory + "/" + fileName
        if let number = read(path) { return number }
        let number = UInt64.random(in: 1...UInt64.max)
        do throws(Errno) {
            try makeDirectory(directory)
            // Written beside and renamed, so that two gateways that start at once agree on one of the numbers.
            let temporary = path + ".\(getpid())"
            let file = Descriptor(
                owning: try check(usl_open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)))
            defer { unlink(temporary) }
            let text = Array((String(number, radix: 16) + "\n").utf8)
            try check(write(file.number, text, text.count))
            // link(2) fails if the other one was first.
            try check(link(temporary, path))
            return number
        } catch .fileExists {
            return read(path) ?? number
        } catch {
            logger.warning(
                """
                cannot keep the instance number in \(directory): \(error); sessions that outlive a restart will not \
                learn that they are gone
                """)
            return number
        }
    }

    private static func read(_ path: String) -> UInt64? {
        guard let file = try? check(usl_open(path, O_RDONLY | O_CLOEXEC, 0)) else { return nil }
        let descriptor = Descriptor(owning: file)
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = CLinux.read(descriptor.number, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return UInt64(String(decoding: bytes[..<count].prefix { $0 > 0x20 }, as: UTF8.self), radix: 16)
    }

    private static func makeDirectory(_ path: String) throws(Errno) {
        var prefix = ""
        for part in path.split(separator: "/") {
            prefix += (path.hasPrefix("/") || !prefix.isEmpty ? "/" : "") + part
            do throws(Errno) {
                try check(mkdir(prefix, 0o700))
            } catch .fileExists {
                continue
            }
        }
    }
}
