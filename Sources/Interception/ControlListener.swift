import CLinux
public import Kernel
public import SystemPackage

/// The agent's control socket, where the preload library and `usl status` connect.
public struct ControlListener: ~Copyable, Sendable {
    /// Readable when a client waits.
    public let descriptor: Descriptor

    /// Makes the socket. One that a dead process left at `path` is replaced; a live one is `EADDRINUSE`.
    public init(path: String) throws(Errno) {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(AF_UNIX, Int32(type), 0)))
        do {
            try Self.bind(descriptor.number, to: path)
        } catch .addressInUse {
            guard !Self.isAlive(path: path) else { throw .addressInUse }
            unlink(path)
            try Self.bind(descriptor.number, to: path)
        }
        // Every connect() of every program of this agent passes here; the kernel lowers this to net.core.somaxconn.
        try check(listen(descriptor.number, 4096))
        self.descriptor = descriptor
    }

    /// Takes over a control socket that another process made.
    public init(adopting descriptor: consuming Descriptor) { self.descriptor = descriptor }

    private static func bind(_ socket: Int32, to path: String) throws(Errno) {
        try withUnixAddress(path) { (address, length) throws(Errno) in
            _ = try check(usl_bind(socket, address, length))
        }
    }

    /// Whether anything accepts connections at `path`.
    static func isAlive(path: String) -> Bool {
        do {
            _ = try ControlConnection(path: path)
            return true
        } catch .connectionRefused, .noSuchFileOrDirectory {
            return false
        } catch {
            // A full backlog (EAGAIN) or a missing right still means that someone is there.
            return true
        }
    }

    /// The next client of this user or root, others being turned away; nil when none waits.
    public borrowing func accept() throws(Errno) -> ControlConnection? {
        while true {
            let accepted = usl_accept(
                descriptor.number, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            guard accepted >= 0 else {
                switch Errno(rawValue: usl_errno()) {
                case .wouldBlock: return nil
                case .interrupted, .connectionAbort: continue
                case let failure: throw failure
                }
            }
            let connection = try ControlConnection(adopting: Descriptor(owning: accepted))
            if connection.peer.user == geteuid() || connection.peer.user == 0 { return connection }
        }
    }
}
