import Engine
import Interception
import Kernel
import SessionHost
import SystemPackage
import Transport

/// `usl agent --socks`: each connection that is accepted says where it wants to go, in SOCKS5 or with HTTP CONNECT, and hears what
/// becomes of that before a byte of its own goes anywhere.
final class SocksPort {
    /// Connections that may be about to say where they want to go. More are reset: they cost a descriptor each for ten seconds,
    /// whoever makes them.
    static let maximumNegotiations = 4096

    private let users: ProxyUsers?
    private let agent: Agent
    private let associations: ProxyAssociations
    private var acceptor: Acceptor?
    private var negotiations = 0

    init(at listeners: [Listener], for users: ProxyUsers?, _ agent: Agent) throws(Errno) {
        self.users = users
        self.agent = agent
        associations = ProxyAssociations(agent)
        acceptor = try Acceptor(
            listeners, on: agent.loop, failed: { [agent] in agent.notices.warn($0.acceptFailure) },
            accepted: { [unowned self] in accepted($0) })
    }

    private func accepted(_ socket: consuming TCPSocket) {
        guard negotiations < Self.maximumNegotiations else {
            _ = try? socket.abort()
            return
        }
        do throws(Errno) {
            // Whatever this process dies of, what is cut short must not look like an end.
            try socket.setResetOnClose(true)
            try LinkProfile.leg.apply(to: socket)
            negotiations += 1
            try ProxyHandshake.begin(socket, ProxyNegotiation(users: users), associations, agent) { [unowned self] in
                negotiations -= 1
            }
        } catch {
            agent.notices.explain("a client of the SOCKS port: \(error)")
        }
    }
}
