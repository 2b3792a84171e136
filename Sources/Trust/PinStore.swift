import CLinux
public import Kernel
public import SystemPackage
public import Transport

/// The gateways that this user knows, by their keys: the file `pins` of the state directory, which people may edit.
///
/// Agents of several commands use it at once. Each change is made under a lock and puts a whole file in place of the old one, so
/// that reading needs none.
public struct PinStore: Sendable {
    private static let name = "pins"
    private static let lockName = "pins.lock"
    /// Some 10,000 gateways.
    private static let maximumSize = 1 << 20

    private let directory: StateDirectory

    public var path: String { directory.file(Self.name) }

    public init(in directory: StateDirectory) { self.directory = directory }

    /// What the file says; nothing if there is none.
    public func read() throws(PinStoreError) -> Pins { Pins(try text(), file: path) }

    /// Tells whether a gateway's key is the one that is pinned, and pins it if there is none: trust on first use.
    ///
    /// - Parameters:
    ///   - name: HOST:PORT as the user wrote it.
    ///   - date: of now, for people.
    /// - Returns: `new` if it is pinned now. Of several processes that meet a gateway for the first time, one hears that, and the
    ///   others whether they have met the same.
    public func meet(_ fingerprint: Fingerprint, of name: String, date: String) throws(PinStoreError) -> PinVerdict {
        let verdict = try read().verdict(on: fingerprint, of: name)
        guard verdict == .new else { return verdict }
        return try change { text in
            let verdict = Pins(text, file: path).verdict(on: fingerprint, of: name)
            if verdict == .new { Self.append(Pin(name: name, fingerprint: fingerprint, date: date), to: &text) }
            return verdict
        }
    }

    /// Pins a key, in place of the one that may be pinned.
    public func add(_ fingerprint: Fingerprint, of name: String, date: String) throws(PinStoreError) {
        try change { text in
            _ = Self.removeLines(of: name, from: &text)
            Self.append(Pin(name: name, fingerprint: fingerprint, date: date), to: &text)
        }
    }

    /// Forgets a gateway, also what cannot be read of it.
    ///
    /// - Returns: false if nothing was known of it.
    public func remove(_ name: String) throws(PinStoreError) -> Bool {
        try change { text in Self.removeLines(of: name, from: &text) }
    }

    private static func append(_ pin: Pin, to text: inout [UInt8]) {
        precondition(
            !pin.name.isEmpty && !(pin.name + pin.date).contains { $0.isWhitespace } && !pin.name.hasPrefix("#"),
            "a name is one word")
        if let last = text.last, last != UInt8(ascii: "\n") { text.append(UInt8(ascii: "\n")) }
        text += "\(pin.name) \(pin.fingerprint) \(pin.date)\n".utf8
    }

    private static func removeLines(of name: String, from text: inout [UInt8]) -> Bool {
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let kept = lines.filter { Pins.words($0).first != name }
        text = Array(kept.joined(separator: [UInt8(ascii: "\n")]))
        return kept.count < lines.count
    }

    /// Lets `body` change what the file says.
    private func change<Result>(_ body: (inout [UInt8]) -> Result) throws(PinStoreError) -> Result {
        let lock = try lock()
        defer { extendLifetime(lock) }
        let before = try text()
        var after = before
        let result = body(&after)
        guard after != before else { return result }
        do throws(Errno) {
            try directory.replace(Self.name, after.span.bytes)
        } catch {
            throw PinStoreError(path: path, problem: .unwritable(error))
        }
        return result
    }

    /// Held until the descriptor is closed (flock(2)). A file of its own, since the other one is replaced.
    private func lock() throws(PinStoreError) -> Descriptor {
        let path = directory.file(Self.lockName)
        do throws(Errno) {
            try directory.make()
            let file = Descriptor(owning: try check(usl_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)))
            let number = file.number
            try retrying { usl_flock(number, LOCK_EX) }
            return file
        } catch {
            throw PinStoreError(path: path, problem: .unwritable(error))
        }
    }

    private func text() throws(PinStoreError) -> [UInt8] {
        let text: [UInt8]
        do throws(Errno) {
            text = try FileContent.read(path, limit: Self.maximumSize)
        } catch .noSuchFileOrDirectory {
            return []
        } catch {
            throw PinStoreError(path: path, problem: .unreadable(error))
        }
        guard text.count <= Self.maximumSize else { throw PinStoreError(path: path, problem: .tooLong) }
        return text
    }
}

/// Pins that cannot be read or kept. No gateway is new then: nobody knows.
public struct PinStoreError: Error, CustomStringConvertible, Sendable {
    public enum Problem: Equatable, Sendable {
        case unreadable(Errno)
        case unwritable(Errno)
        case tooLong
    }

    public let path: String
    public let problem: Problem

    public var description: String {
        switch problem {
        case .unreadable(let code): "cannot read \(path): \(code)"
        case .unwritable(let code): "cannot keep pins in \(path): \(code)"
        case .tooLong: "\(path) is longer than 1 MiB"
        }
    }
}
