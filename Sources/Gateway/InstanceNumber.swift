import Kernel
import Logging
import SystemPackage

/// Tells this gateway from any other that might be reached at the same address: a random number, kept in the state
/// directory, so that after a restart its GONE is believed.
enum InstanceNumber {
    private static let fileName = "instance"

    /// The number of the state directory, made on first use. Without a usable directory, a number for this run.
    static func load(from directory: StateDirectory, _ logger: Logger) -> UInt64 {
        if let number = read(directory) { return number }
        let number = UInt64.random(in: 1...UInt64.max)
        do throws(Errno) {
            let text = Array((String(number, radix: 16) + "\n").utf8)
            let isMade = try directory.create(fileName, text.span.bytes)
            // Two gateways that start at once agree on one of the numbers.
            return isMade ? number : read(directory) ?? number
        } catch {
            logger.warning(
                """
                cannot keep the instance number in \(directory.path): \(error); sessions that outlive a restart will not \
                learn that they are gone
                """)
            return number
        }
    }

    private static func read(_ directory: StateDirectory) -> UInt64? {
        guard let bytes = try? FileContent.read(directory.file(fileName), limit: 32) else { return nil }
        return UInt64(String(decoding: bytes.prefix { $0 > 0x20 }, as: UTF8.self), radix: 16)
    }
}
