import Kernel
import SessionProtocol

/// Whose connections the gateway's own ones to servers are: the address from which a session was opened, by the address at which the
/// server sees it. It does not change when the client roams.
struct ClientAddresses {
    private var clients: [SocketAddress: SocketAddress] = [:]
    private var legs: [SessionID: SocketAddress] = [:]

    /// - Parameter leg: the local address of the connection to the server.
    mutating func note(_ session: SessionID, leg: SocketAddress, client: SocketAddress) {
        forget(session)
        legs[session] = leg.unmapped
        clients[leg.unmapped] = client.unmapped
    }

    mutating func forget(_ session: SessionID) {
        guard let leg = legs.removeValue(forKey: session) else { return }
        clients[leg] = nil
    }

    subscript(leg: SocketAddress) -> SocketAddress? { clients[leg.unmapped] }
}
