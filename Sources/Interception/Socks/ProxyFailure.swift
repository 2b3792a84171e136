/// Why a client of the SOCKS port is not connected.
public enum ProxyFailure: CaseIterable, Sendable {
    /// Not said more exactly.
    case general
    /// A rule refuses it, or the gateway does not allow it.
    case notAllowed
    case networkUnreachable
    case hostUnreachable
    /// Nobody knows the name.
    case unknownName
    case timedOut
    /// Nobody listens there.
    case refused
    case commandUnsupported
    case addressUnsupported

    /// REP of RFC 1928, section 6. There is none for a time that is over: 6 says that a packet has been passed on too often (TTL),
    /// which is not what has happened, so a client hears 4, as of other hosts that cannot be reached.
    var socksCode: UInt8 {
        switch self {
        case .general: 1
        case .notAllowed: 2
        case .networkUnreachable: 3
        case .hostUnreachable, .unknownName, .timedOut: 4
        case .refused: 5
        case .commandUnsupported: 7
        case .addressUnsupported: 8
        }
    }

    /// RFC 9110, sections 15.5.4, 15.6.3 and 15.6.5. A CONNECT has neither commands nor kinds of addresses that are unknown.
    var status: HTTPStatus {
        switch self {
        case .notAllowed: .forbidden
        case .timedOut: .gatewayTimeout
        case .general, .networkUnreachable, .hostUnreachable, .unknownName, .refused, .commandUnsupported,
            .addressUnsupported:
            .badGateway
        }
    }
}

/// What a client that speaks HTTP is told.
enum HTTPStatus: UInt16 {
    case badRequest = 400
    case forbidden = 403
    case methodNotAllowed = 405
    case authenticationRequired = 407
    case badGateway = 502
    case gatewayTimeout = 504

    private var phrase: String {
        switch self {
        case .badRequest: "Bad Request"
        case .forbidden: "Forbidden"
        case .methodNotAllowed: "Method Not Allowed"
        case .authenticationRequired: "Proxy Authentication Required"
        case .badGateway: "Bad Gateway"
        case .gatewayTimeout: "Gateway Timeout"
        }
    }

    private var fields: String {
        switch self {
        case .methodNotAllowed: "Allow: CONNECT\r\n"
        case .authenticationRequired: "Proxy-Authenticate: Basic realm=\"usl\"\r\n"
        case .badRequest, .forbidden, .badGateway, .gatewayTimeout: ""
        }
    }

    /// The whole response. The connection ends behind it, and says so: what follows a head that was refused is not read.
    func response(_ text: String) -> [UInt8] {
        let body = "usl: \(text)\n"
        return Array(
            """
            HTTP/1.1 \(rawValue) \(phrase)\r\n\(fields)Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
            Content-Length: \(body.utf8.count)\r\n\r\n\(body)
            """.utf8)
    }
}
