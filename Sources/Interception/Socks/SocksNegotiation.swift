/// The server's side of SOCKS5 (RFC 1928, user and password by RFC 1929), up to the request. It takes no byte behind that: what a
/// client sends before it has its answer belongs to the connection that it has asked for.
struct SocksNegotiation: Sendable {
    static let version: UInt8 = 5
    /// Of RFC 1929.
    private static let passwordVersion: UInt8 = 1

    private enum Method: UInt8 {
        case none = 0
        case password = 2
        case unacceptable = 0xff
    }

    private enum Command: UInt8 {
        case connect = 1
        case associate = 3
    }

    private enum Stage {
        case greeting
        case credentials
        case request
    }

    private let users: ProxyUsers?
    private var stage = Stage.greeting
    /// What has come of the present message.
    private var message: [UInt8] = []

    init(users: ProxyUsers?) { self.users = users }

    /// Takes bytes up to the end of a message at most.
    mutating func take(_ bytes: ArraySlice<UInt8>) -> (count: Int, step: ProxyStep) {
        var rest = bytes
        // The length is known better with each part of the message.
        while message.count < length {
            let part = rest.prefix(length - message.count)
            if part.isEmpty { return (bytes.count, .needsMore) }
            message += part
            rest = rest.dropFirst(part.count)
        }
        let step: ProxyStep
        switch stage {
        case .greeting: step = greeted()
        case .credentials: step = authenticated()
        case .request: step = requested()
        }
        message = []
        return (bytes.count - rest.count, step)
    }

    /// How long the present message is at least, as far as it tells; more than there is of it until it is complete.
    private var length: Int {
        switch stage {
        case .greeting: return message.count < 2 ? 2 : 2 + Int(message[1])
        case .credentials:
            guard message.count >= 2 else { return 2 }
            let user = 2 + Int(message[1])
            return message.count <= user ? user + 1 : user + 1 + Int(message[user])
        case .request:
            guard message.count >= 4 else { return 4 }
            switch ProxyAddress.Kind(rawValue: message[3]) {
            case .v4: return 4 + 4 + 2
            case .v6: return 4 + 16 + 2
            case .name: return message.count == 4 ? 5 : 5 + Int(message[4]) + 2
            // How long it is nobody knows.
            case nil: return 4
            }
        }
    }

    private mutating func greeted() -> ProxyStep {
        let wanted = users == nil ? Method.none : .password
        guard message.dropFirst(2).contains(wanted.rawValue) else {
            let reason = users == nil ? "it insists on a way to log in" : "it has no user and password to show"
            return .refuses([Self.version, Method.unacceptable.rawValue], reason)
        }
        stage = users == nil ? .request : .credentials
        return .says([Self.version, wanted.rawValue])
    }

    private mutating func authenticated() -> ProxyStep {
        let user = message[2..<2 + Int(message[1])]
        let isRight = users?.admit(user, message[(user.endIndex + 1)...]) == true
        guard message[0] == Self.passwordVersion, isRight else {
            return .refuses([Self.passwordVersion, 1], "its user or its password is wrong")
        }
        stage = .request
        return .says([Self.passwordVersion, 0])
    }

    private func requested() -> ProxyStep {
        func refuse(_ failure: ProxyFailure, _ reason: String) -> ProxyStep {
            .refuses(ProxyDialect.socks5.denied(failure, reason), reason)
        }
        guard message[0] == Self.version else { return refuse(.general, "its request is not SOCKS5") }
        guard ProxyAddress.Kind(rawValue: message[3]) != nil else {
            return refuse(.addressUnsupported, "it asks for a kind of address that there is not")
        }
        guard let command = Command(rawValue: message[1]) else {
            return refuse(.commandUnsupported, "it asks for something else than a connection or an association")
        }
        guard let address = ProxyAddress(message[3...]) else {
            return refuse(.general, "it asks for a name that is none")
        }
        switch command {
        case .connect: return .asks(address, .socks5)
        case .associate: return .associates(address)
        }
    }
}
