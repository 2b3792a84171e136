import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// A client of the SOCKS port that waits for its answer.
struct ProxyClient: ~Copyable {
    let socket: TCPSocket
    let dialect: ProxyDialect

    init(_ socket: consuming TCPSocket, _ dialect: ProxyDialect) {
        self.socket = socket
        self.dialect = dialect
    }

    /// Says that it is connected, and gives up the connection, whose next bytes are those of the connection that it has asked for.
    ///
    /// - Parameter local: from where it has been connected.
    /// - Returns: nil if it is gone.
    consuming func grant(at local: SocketAddress?) -> TCPSocket? {
        let answer = dialect.granted(at: ProxyAddress(local))
        // The send buffer is empty.
        guard socket.send(answer) == .bytes(answer.count) else {
            _ = try? socket.abort()
            return nil
        }
        return intoSocket()
    }

    /// Says that it is not, and why, and ends its connection.
    consuming func deny(_ failure: ProxyFailure, _ text: String, on loop: EventLoop) {
        let answer = dialect.denied(failure, text)
        _ = try? socket.setResetOnClose(false)
        LastWords.say(answer, over: Link(plain: intoSocket()), on: loop)
    }

    private consuming func intoSocket() -> TCPSocket { socket }
}

extension TCPSocket {
    /// How a client of the SOCKS port speaks that has not been told yet, by a process that is dead, what has become of its request.
    /// Nil if it has been told, or is gone: it has been sent as many bytes as any answer has.
    var owedDialect: ProxyDialect? {
        // In this order: what is acknowledged in between counts twice. Before the answer four bytes are sent at most.
        guard let unacknowledged = try? unacknowledgedBytes(), let acknowledged = try? info().bytes_acked else {
            return nil
        }
        let sent = UInt64(unacknowledged) + acknowledged
        guard sent < UInt64(ProxyDialect.shortestGrant) else { return nil }
        // No byte of HTTP is said before the answer, and two at least of SOCKS.
        return sent == 0 ? .http : .socks5
    }

    /// Tells such a client that it is connected.
    ///
    /// - Parameter destination: of its session, which is open.
    func grantIfOwed(to destination: SocketAddress) {
        guard let dialect = owedDialect else { return }
        _ = send(dialect.granted(at: ProxyAddress(destination.sessionSource)))
    }
}

extension SocketAddress {
    /// The local address that a connection to here would have without USL; its port is that of nobody.
    var sessionSource: SocketAddress? { try? unmapped.naturalSource() }
}

extension ProxyFailure {
    /// What connecting failed with.
    init(_ error: Errno) {
        switch error {
        // What a firewall or a route of this machine forbids.
        case .permissionDenied, .notPermitted: self = .notAllowed
        case .networkUnreachable, .networkDown, .addressNotAvailable: self = .networkUnreachable
        case .noRouteToHost, .hostIsDown: self = .hostUnreachable
        case .timedOut: self = .timedOut
        case .connectionRefused: self = .refused
        default: self = .general
        }
    }
}
