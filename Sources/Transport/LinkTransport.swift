import CLinux
import Kernel
import SystemPackage

/// What carries a link below USL.
public enum LinkTransport: String, Sendable, CaseIterable {
    case tcp
    /// Multipath TCP (RFC 8684), which falls back to TCP by itself where the peer, or something on the path, lacks it. A
    /// listener that offers it serves plain TCP as well.
    case mptcp

    var protocolNumber: Int32 {
        switch self {
        case .tcp: Int32(IPPROTO_TCP)
        case .mptcp: Int32(IPPROTO_MPTCP)
        }
    }

    /// Whether this kernel has it, and it is not switched off (`net.mptcp.enabled`).
    public var isAvailable: Bool {
        do {
            _ = try TCPSocket(family: AF_INET, transport: self)
            return true
        } catch {
            return false
        }
    }
}

extension TCPSocket {
    /// What the connection really uses, after both ends have had their say.
    public func transport() throws(Errno) -> LinkTransport {
        guard try option(SOL_SOCKET, SO_PROTOCOL) == LinkTransport.mptcp.protocolNumber else { return .tcp }
        do {
            // Whatever it says: a socket that has fallen back says nothing.
            _ = try option(Int32(USL_SOL_MPTCP), Int32(USL_MPTCP_INFO))
            return .mptcp
        } catch .notSupportedOnSocket {
            return .tcp
        }
    }
}
