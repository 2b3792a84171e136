/// How a client of the SOCKS port speaks, and is answered.
public enum ProxyDialect: Sendable {
    /// RFC 1928.
    case socks5
    /// CONNECT of RFC 9110, section 9.3.6.
    case http

    /// No answer that grants a connection has fewer bytes, and what a client hears before it does not have as many: the choice of
    /// a method and the verdict on a password are two bytes each.
    public static let shortestGrant = 10

    /// What a client hears that has been connected.
    ///
    /// - Parameter address: from where (BND.ADDR, BND.PORT).
    public func granted(at address: ProxyAddress) -> [UInt8] {
        switch self {
        case .socks5: [SocksNegotiation.version, 0, 0] + address.encoded
        case .http: Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8)
        }
    }

    /// What a client hears that is not connected. Its connection ends behind it.
    ///
    /// - Parameter text: for people, where there is room for it.
    public func denied(_ failure: ProxyFailure, _ text: String) -> [UInt8] {
        switch self {
        case .socks5:
            [SocksNegotiation.version, failure.socksCode, 0] + ProxyAddress(host: .v4(0), port: 0).encoded
        case .http: failure.status.response(text)
        }
    }
}
