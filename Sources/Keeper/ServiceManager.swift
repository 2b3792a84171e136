import CLinux
import Kernel
import SystemPackage

/// The service manager that has started this keeper, if one has: it is told how the service does, and holds copies of what is
/// in escrow (sd_notify(3), "FDSTORE"), so that the keeper itself may die.
///
/// A message is one datagram. What the manager does not take yet waits here: the keeper never does.
public struct ServiceManager: ~Copyable {
    private struct Message {
        let text: String
        /// A copy that is closed once it is sent.
        let descriptor: Int32?
    }

    private let socket: Descriptor
    private var queue: [Message] = []

    /// Whether a service manager may hold what is in escrow: then a worker whose keeper has died leaves without a word, and
    /// its sessions go on in the next.
    public static var isThere: Bool { getenv("NOTIFY_SOCKET") != nil }

    /// nil if there is none, or none that can be reached.
    static func connect() -> ServiceManager? {
        guard let name = getenv("NOTIFY_SOCKET").map({ Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) })
        else { return nil }
        var address = sockaddr_un()
        guard name.count > 1, name.count < MemoryLayout.size(ofValue: address.sun_path),
            let number = try? check(
                CLinux.socket(
                    AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0))
        else { return nil }
        let socket = Descriptor(owning: number)
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { room in
            room.copyBytes(from: name)
            // An abstract name begins with NUL, which stands as @ in the variable.
            if name[0] == UInt8(ascii: "@") { room[0] = 0 }
        }
        // The length tells an abstract name's end.
        let length = MemoryLayout.offset(of: \sockaddr_un.sun_path)! + name.count
        let result = withUnsafePointer(to: address) {
            usl_connect(
                number, UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), socklen_t(length))
        }
        return result == 0 ? ServiceManager(socket) : nil
    }

    private init(_ socket: consuming Descriptor) { self.socket = socket }

    /// To be polled for writing while something waits.
    var waitingNumber: Int32? { queue.isEmpty ? nil : socket.number }

    mutating func serves() { send(Message(text: "READY=1", descriptor: nil)) }
    mutating func stops() { send(Message(text: "STOPPING=1", descriptor: nil)) }

    /// Gives the manager a copy. It does not watch it (`FDPOLL=0`): by default it drops a connection that was reset, which
    /// the successor must see.
    mutating func store(_ key: EscrowKey, _ kind: EscrowKind, _ descriptor: Int32) {
        guard let copy = try? check(usl_fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) else { return }
        send(Message(text: "FDSTORE=1\nFDPOLL=0\nFDNAME=\(Self.name(key, kind))", descriptor: copy))
    }

    mutating func remove(_ key: EscrowKey, _ kind: EscrowKind) {
        send(Message(text: "FDSTOREREMOVE=1\nFDNAME=\(Self.name(key, kind))", descriptor: nil))
    }

    private mutating func send(_ message: Message) {
        queue.append(message)
        if queue.count == 1 { flush() }
    }

    /// Sends what has waited.
    mutating func flush() {
        while let message = queue.first {
            do throws(Errno) {
                try DescriptorPassing.send(
                    Array(message.text.utf8), passing: message.descriptor, over: socket.number)
            } catch .wouldBlock {
                return
            } catch .tooManyReferences {
                return
            } catch {
                // A manager that is gone or will not hear changes nothing here.
            }
            if let descriptor = message.descriptor { _ = close(descriptor) }
            queue.removeFirst()
        }
    }

    // MARK: - Names in the store

    private static func name(_ key: EscrowKey, _ kind: EscrowKind) -> String { "usl-\(kind.rawValue)-\(key.value)" }

    private static func parse(_ name: Substring) -> (EscrowKey, EscrowKind)? {
        let parts = name.split(separator: "-")
        guard parts.count == 3, parts[0] == "usl", let kind = UInt8(parts[1]).flatMap(EscrowKind.init(rawValue:)),
            let key = UInt64(parts[2])
        else { return nil }
        return (EscrowKey(key), kind)
    }

    /// What the manager has passed on at the start (sd_listen_fds(3)): what was in its store, and sockets of its own, on
    /// which the service listens. To be called once, with one thread.
    static func takeDescriptors() -> Escrow {
        var escrow = Escrow()
        defer { for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { unsetenv(name) } }
        guard variable("LISTEN_PID").flatMap({ pid_t($0) }) == getpid(),
            let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), count > 0
        else { return escrow }
        let names = variable("LISTEN_FDNAMES")?.split(separator: ":", omittingEmptySubsequences: false) ?? []
        let first: Int32 = 3  // SD_LISTEN_FDS_START
        for number in first..<first + count where usl_fcntl(number, F_SETFD, FD_CLOEXEC) == 0 {
            let descriptor = Descriptor(owning: number)
            let index = Int(number - first)
            if index < names.count, let (key, kind) = parse(names[index]) {
                escrow.hold(key, kind, descriptor)
            } else {
                escrow.hold(own: .listener, descriptor)
            }
        }
        return escrow
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
