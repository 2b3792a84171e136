import CLinux
import Kernel
import SystemPackage

/// How the application's end of a leg is told from other sockets that may come from its address.
public enum LegProof: Hashable, Sendable {
    /// By the socket's cookie.
    case cookie
    /// Nobody else can have the address.
    case address
    /// By the number of the socket's inode.
    case inode(UInt32)
    /// Not at all: an agent that has died knew it by its inode.
    case none

    /// As a ledger keeps it.
    public var ledgerValue: UInt8 {
        switch self {
        case .cookie: 0
        case .address: 1
        case .inode, .none: 2
        }
    }

    public init(ledgerValue: UInt8) {
        switch ledgerValue {
        case 0: self = .cookie
        case 1: self = .address
        default: self = .none
        }
    }
}

extension LegProof {
    /// What will prove a leg of this socket.
    ///
    /// A socket of Multipath TCP has subflows below it, with cookies of their own which it does not tell (in the kernel,
    /// mptcp_subflow_create_socket); on loopback it falls back to TCP, as the agent's end does not offer more. What identifies
    /// it then is its address, as nobody can share that unless both sockets have set `SO_REUSEADDR` (inet_bind_conflict; only
    /// the user himself with `SO_REUSEPORT`). Where the port is yet to be chosen, that option is taken away. Where the
    /// application has chosen it, and lets others have it, the inode has to do, which the first subflow has in common with the
    /// application's socket (mptcp_sock_graft), as long as that is open.
    ///
    /// - Parameter hasPort: whether the socket is bound to one.
    init(of socket: Int32, hasPort: Bool) throws(Errno) {
        guard try SocketOption.isMultipath(socket) else {
            self = .cookie
            return
        }
        if !hasPort { try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: socket, to: Int32(0)) }
        if try SocketOption.read(SOL_SOCKET, SO_REUSEADDR, of: socket, initial: Int32(0)) == 0 {
            self = .address
        } else {
            var status = stat()
            try check(fstat(socket, &status))
            self = .inode(UInt32(truncatingIfNeeded: status.st_ino))
        }
    }
}
