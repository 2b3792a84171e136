/// The server's side of HTTP CONNECT (RFC 9110, section 9.3.6): the head of a request, and no byte behind it.
struct ConnectHead: Sendable {
    /// As long as servers take heads of requests.
    static let maximumSize = 16 << 10

    private let users: ProxyUsers?
    private var head: [UInt8] = []
    /// Bytes of the last line, without those that end lines.
    private var lineLength = 0

    init(users: ProxyUsers?) { self.users = users }

    mutating func take(_ bytes: ArraySlice<UInt8>) -> (count: Int, step: ProxyStep) {
        for (count, byte) in bytes.enumerated() {
            guard head.count < Self.maximumSize else {
                return (count, refuse(.badRequest, "the head of the request is longer than 16 KiB"))
            }
            head.append(byte)
            switch byte {
            // A line may end without CR (RFC 9112, section 2.2).
            case UInt8(ascii: "\n"):
                if lineLength == 0 { return (count + 1, read()) }
                lineLength = 0
            case UInt8(ascii: "\r"): break
            default: lineLength += 1
            }
        }
        return (bytes.count, .needsMore)
    }

    private func refuse(_ status: HTTPStatus, _ reason: String) -> ProxyStep {
        .refuses(status.response(reason), reason)
    }

    private func read() -> ProxyStep {
        var lines = head.split(separator: UInt8(ascii: "\n")).map { line in
            line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        }[...]
        let words = (lines.popFirst() ?? []).split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard words.count == 3, words[2].starts(with: "HTTP/1.".utf8) else {
            return refuse(.badRequest, "this is no request of HTTP/1")
        }
        guard words[0].elementsEqual("CONNECT".utf8) else {
            return refuse(.methodNotAllowed, "only CONNECT is served here; curl has -p for that")
        }
        guard let address = Self.address(words[1]) else {
            return refuse(.badRequest, "what CONNECT asks for is no HOST:PORT")
        }
        var credentials: ArraySlice<UInt8>?
        for line in lines where !line.isEmpty {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), ProxyAddress.isName(line[..<colon]) else {
                return refuse(.badRequest, "a field of the request has no name")
            }
            if Self.lowercase(line[..<colon]).elementsEqual("proxy-authorization".utf8) {
                credentials = line[(colon + 1)...]
            }
        }
        guard let users else { return .asks(address, .http) }
        guard let credentials else {
            return refuse(.authenticationRequired, "it has no user and password to show")
        }
        guard Self.areRight(credentials, users) else {
            return refuse(.authenticationRequired, "its user or its password is wrong")
        }
        return .asks(address, .http)
    }

    /// `HOST:PORT`, an IPv6 address in brackets.
    private static func address(_ text: ArraySlice<UInt8>) -> ProxyAddress? {
        guard let colon = text.lastIndex(of: UInt8(ascii: ":")) else { return nil }
        let digits = text[(colon + 1)...]
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
            let port = UInt16(String(decoding: digits, as: UTF8.self)), port > 0
        else { return nil }
        var host = text[..<colon]
        if host.first == UInt8(ascii: "["), host.last == UInt8(ascii: "]"), host.count > 2 {
            host = host.dropFirst().dropLast()
        } else if host.contains(UInt8(ascii: ":")) {
            return nil
        }
        guard ProxyAddress.isName(host), !host.contains(where: { "/@[]?#".utf8.contains($0) }) else { return nil }
        return ProxyAddress(host: .name(String(decoding: host, as: UTF8.self)), port: port)
    }

    /// `Basic` and USER:PASSWORD in base64 (RFC 7617).
    private static func areRight(_ value: ArraySlice<UInt8>, _ users: ProxyUsers) -> Bool {
        let words = value.split { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        guard words.count == 2, lowercase(words[0]).elementsEqual("basic".utf8), let pair = Base64.decode(words[1]),
            let colon = pair.firstIndex(of: UInt8(ascii: ":"))
        else { return false }
        return users.admit(pair[..<colon], pair[(colon + 1)...])
    }

    private static func lowercase(_ text: ArraySlice<UInt8>) -> [UInt8] {
        text.map { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) ? $0 | 0x20 : $0 }
    }
}
