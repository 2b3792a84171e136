import CLinux
import Kernel
public import SystemPackage
public import Transport

/// The file of `--authorized`: the keys of the clients that a gateway serves. A fingerprint a line and behind it a name for people;
/// empty lines, and comments behind `#`.
///
/// Whoever changes the file need not tell anybody: it is looked at before each handshake, and read again when it is another.
public struct AuthorizedKeys: Sendable {
    /// What is worth a line in the log.
    public enum Report: Equatable, CustomStringConvertible, Sendable {
        case mistake(FileMistake)
        /// The file is not there, or cannot be read: nobody is admitted.
        case unreadable(path: String, Errno)
        case tooLong(path: String)

        public var description: String {
            switch self {
            case .mistake(let mistake): "\(mistake)"
            case .unreadable(let path, let code): "cannot read \(path): \(code); no client is admitted"
            case .tooLong(let path): "\(path) is longer than 4 MiB; no client is admitted"
            }
        }
    }

    /// What tells one state of a file from another. The time of the last change of the inode is no user's to set.
    private struct Stamp: Equatable {
        let device: dev_t
        let inode: ino_t
        let size: off_t
        let modified: (Int, Int)
        let changed: (Int, Int)

        init(_ status: stat) {
            device = status.st_dev
            inode = status.st_ino
            size = status.st_size
            modified = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
            changed = (status.st_ctim.tv_sec, status.st_ctim.tv_nsec)
        }

        static func == (left: Stamp, right: Stamp) -> Bool {
            left.device == right.device && left.inode == right.inode && left.size == right.size
                && left.modified == right.modified && left.changed == right.changed
        }
    }

    private enum State: Equatable {
        case unread
        case read(Stamp)
        case failed(Errno)
    }

    /// Some 50,000 clients.
    private static let maximumSize = 4 << 20

    private let path: String
    private var state = State.unread
    private var names: [Fingerprint: String] = [:]

    /// The keys as they were last read.
    public private(set) var accepted = AcceptedKeys.only([])

    public init(path: String) { self.path = path }

    /// What the file calls a key; empty if nothing, nil if it is not in it.
    public func name(of fingerprint: Fingerprint) -> String? { names[fingerprint] }

    /// Looks whether the file has changed, and reads it if so. One stat(2) if not.
    ///
    /// - Returns: what is new to say; each thing once, until the file changes.
    public mutating func refresh() -> [Report] {
        do throws(Errno) {
            var status = stat()
            try check(stat(path, &status))
            if state == .read(Stamp(status)) { return [] }
            let file = Descriptor(owning: try check(usl_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0)))
            // Of what is read, and before that: what is written meanwhile is seen the next time.
            try check(fstat(file.number, &status))
            let text = try FileContent.read(file, limit: Self.maximumSize)
            state = .read(Stamp(status))
            guard text.count <= Self.maximumSize else {
                admit([:])
                return [.tooLong(path: path)]
            }
            return take(text).map { .mistake($0) }
        } catch {
            let isNews = state != .failed(error)
            state = .failed(error)
            admit([:])
            return isNews ? [.unreadable(path: path, error)] : []
        }
    }

    private mutating func take(_ text: [UInt8]) -> [FileMistake] {
        var keys: [Fingerprint: String] = [:]
        var mistakes: [FileMistake] = []
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let words = Pins.words(line)
            guard let first = words.first else { continue }
            if let fingerprint = Fingerprint(first) {
                let name = words.dropFirst().prefix { !$0.hasPrefix("#") }.joined(separator: " ")
                keys[fingerprint] = name
            } else {
                let text = "'\(first)' is no fingerprint; it is SHA256: and 43 characters, as `usl identity` prints it"
                mistakes.append(FileMistake(file: path, line: index + 1, text: text))
            }
        }
        admit(keys)
        return mistakes
    }

    private mutating func admit(_ keys: [Fingerprint: String]) {
        names = keys
        accepted = .only(Set(keys.keys))
    }
}
