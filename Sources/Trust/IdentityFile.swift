import CLinux
public import Kernel
public import SystemPackage
public import Transport

/// Where this end keeps its identity, like an SSH host key: private key and certificate, in PEM.
public struct IdentityFile: Sendable {
    private static let name = "identity.pem"
    /// Far more than a key of any kind and its certificate take.
    private static let maximumSize = 64 * 1024

    private let directory: StateDirectory

    public var path: String { directory.file(Self.name) }

    public init(in directory: StateDirectory) { self.directory = directory }

    /// The identity in the file, which is made on first use. Processes that start at once end up with the same.
    ///
    /// A file that others could have read or put there is refused: whoever has the key can pass for this end.
    public func load() throws(IdentityFileError) -> Identity {
        if let identity = try read() { return identity }
        do throws(Errno) {
            try directory.make()
        } catch {
            throw IdentityFileError(path: directory.path, problem: .unwritable(error))
        }
        try checkDirectory()
        let identity = try cryptographic { () throws(CryptoError) in try Identity.generate() }
        let pem = try cryptographic { () throws(CryptoError) in try identity.pem() }
        do throws(Errno) {
            let isMade = try pem.withBytes { (bytes) throws(Errno) in try directory.create(Self.name, bytes.bytes) }
            if isMade { return identity }
        } catch {
            throw IdentityFileError(path: path, problem: .unwritable(error))
        }
        // Another process was first.
        guard let identity = try read() else {
            throw IdentityFileError(path: path, problem: .unreadable(.noSuchFileOrDirectory))
        }
        return identity
    }

    /// The identity in the file; nil if there is none.
    private func read() throws(IdentityFileError) -> Identity? {
        guard let file = try open() else { return nil }
        var status = stat()
        guard fstat(file.number, &status) == 0 else {
            throw IdentityFileError(path: path, problem: .unreadable(Errno(rawValue: usl_errno())))
        }
        guard status.st_mode & mode_t(S_IFMT) == mode_t(S_IFREG) else {
            throw IdentityFileError(path: path, problem: .kind)
        }
        try demand(status, at: path, forbidden: 0o077)
        try checkDirectory()
        guard (1...Self.maximumSize).contains(Int(status.st_size)) else {
            throw IdentityFileError(path: path, problem: .damaged("it has \(status.st_size) bytes"))
        }
        let pem = try content(of: file, count: Int(status.st_size))
        do throws(CryptoError) {
            return try pem.withBytes { (bytes) throws(CryptoError) in try Identity(pem: bytes) }
        } catch {
            throw IdentityFileError(path: path, problem: .damaged(error.description))
        }
    }

    private func open() throws(IdentityFileError) -> Descriptor? {
        do throws(Errno) {
            // O_NONBLOCK: nothing is waited for, should it be a pipe.
            return Descriptor(
                owning: try check(usl_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0)))
        } catch .noSuchFileOrDirectory {
            return nil
        } catch .tooManySymbolicLinkLevels {
            throw IdentityFileError(path: path, problem: .kind)
        } catch {
            throw IdentityFileError(path: path, problem: .unreadable(error))
        }
    }

    private func content(of file: borrowing Descriptor, count: Int) throws(IdentityFileError) -> SecretBytes {
        let number = file.number
        do throws(Errno) {
            return try SecretBytes(count: count) { (bytes) throws(Errno) in
                var count = 0
                while count < bytes.count {
                    let more = try retrying {
                        CLinux.read(number, bytes.baseAddress.map { $0 + count }, bytes.count - count)
                    }
                    if more == 0 { break }
                    count += more
                }
            }
        } catch {
            throw IdentityFileError(path: path, problem: .unreadable(error))
        }
    }

    /// Whoever may write to the directory may put another file there.
    private func checkDirectory() throws(IdentityFileError) {
        var status = stat()
        guard stat(directory.path, &status) == 0 else {
            throw IdentityFileError(path: directory.path, problem: .unreadable(Errno(rawValue: usl_errno())))
        }
        try demand(status, at: directory.path, forbidden: 0o022)
    }

    private func demand(_ status: stat, at path: String, forbidden: mode_t) throws(IdentityFileError) {
        guard status.st_uid == geteuid() else {
            throw IdentityFileError(path: path, problem: .owner(status.st_uid))
        }
        guard status.st_mode & forbidden == 0 else {
            throw IdentityFileError(path: path, problem: .mode(status.st_mode & 0o7777, wanted: ~forbidden))
        }
    }

    private func cryptographic<Value: ~Copyable>(
        _ body: () throws(CryptoError) -> Value
    ) throws(IdentityFileError) -> Value {
        do throws(CryptoError) { return try body() } catch {
            throw IdentityFileError(path: path, problem: .unmakeable(error.description))
        }
    }
}

/// An identity that cannot be used, or not be made. Says what to do.
public struct IdentityFileError: Error, CustomStringConvertible, Sendable {
    public enum Problem: Equatable, Sendable {
        /// It is no plain file.
        case kind
        case owner(uid_t)
        case mode(mode_t, wanted: mode_t)
        case unreadable(Errno)
        case unwritable(Errno)
        case damaged(String)
        case unmakeable(String)
    }

    /// The file, or its directory.
    public let path: String
    public let problem: Problem

    public var description: String {
        switch problem {
        case .kind: "\(path) is no plain file; remove it, and another identity is made"
        case .owner(let user): "\(path) belongs to user \(user), not to user \(geteuid()); chown it, or give --state"
        case .mode(let mode, let wanted):
            "\(path) is open to other users (mode \(String(mode, radix: 8))), who may know or change the key; "
                + (wanted & 0o044 == 0
                    ? "remove it, and another is made, or chmod 600 it if you know that nobody has read it"
                    : "chmod 700 it")
        case .unreadable(let code): "cannot read \(path): \(code)"
        case .unwritable(let code): "cannot keep an identity at \(path): \(code); give --state DIRECTORY"
        case .damaged(let reason):
            "\(path) is damaged: \(reason); restore it, or remove it, and another identity is made, which others do not know"
        case .unmakeable(let reason): "cannot make an identity: \(reason)"
        }
    }
}
