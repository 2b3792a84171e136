import Kernel
import Logging
import SystemPackage
import Transport
import Trust

/// Which links a gateway takes: plain ones or TLS, and of whose key. On the main loop.
final class LinkAdmission {
    /// Why a link is turned away before it has said anything.
    enum Objection {
        /// It is plain, and this gateway wants TLS.
        case plain
        /// It is plain, and this gateway serves keys that it knows.
        case anonymous
        /// It is TLS, and this gateway plain.
        case tls
    }

    /// nil: links are plain.
    private let context: TLSContext?
    private var authorized: AuthorizedKeys?
    private let logger: Logger

    /// - Throws: where the gateway has no key.
    init(_ options: GatewayOptions, _ logger: Logger) throws {
        context =
            options.isPlain ? nil : try TLSContext(.server, identity: try IdentityFile(in: options.state).load())
        authorized = options.authorized.map { AuthorizedKeys(path: $0) }
        self.logger = logger
        refresh()
    }

    /// This gateway's key, which agents remember; nil where links are plain.
    var fingerprint: Fingerprint? { context?.identity.fingerprint }

    /// nil: it may come in.
    func objection(to security: LinkSecurity, from remote: SocketAddress) -> Objection? {
        switch security {
        case .tls: context == nil ? .tls : nil
        case .plain where authorized != nil: .anonymous
        case .plain: context == nil || remote.isLoopback ? nil : .plain
        }
    }

    /// The accepting end of a TLS link. Its handshake is still to be done.
    func secure(_ socket: consuming TCPSocket) throws(CryptoError) -> Link? {
        guard let context else { return nil }
        refresh()
        return Link(tls: try TLSConnection(server: context, socket, accepting: authorized?.accepted ?? .any))
    }

    /// What the file of --authorized calls the client with that key, as it was last read; nil if nothing.
    func clientName(of fingerprint: Fingerprint) -> String? {
        guard let name = authorized?.name(of: fingerprint), !name.isEmpty else { return nil }
        return name
    }

    /// A new key for tickets; those under the last one are good until the next time.
    func rotateTicketKey() {
        do throws(CryptoError) { try context?.rotateTicketKey() } catch {
            logger.error("no new key for tickets: \(error)")
        }
    }

    private func refresh() {
        for report in authorized?.refresh() ?? [] { logger.warning("\(report)") }
    }
}
