import Testing

@testable import Interception

/// What a negotiation has said, asked for and left.
struct Negotiated: Equatable {
    var said: [[UInt8]] = []
    var asked: ProxyAddress?
    var dialect: ProxyDialect?
    /// Where datagrams will come from.
    var announced: ProxyAddress?
    var reason: String?
    /// Bytes behind the request.
    var left: [UInt8] = []

    var isOver: Bool { asked != nil || announced != nil || reason != nil }

    /// - Parameter size: of the pieces that the bytes come in.
    init(_ bytes: [UInt8], users: ProxyUsers? = nil, inPiecesOf size: Int = .max) {
        var negotiation = ProxyNegotiation(users: users)
        var (end, start) = (min(size, bytes.count), 0)
        while true {
            let (count, step) = negotiation.take(bytes[start..<end])
            start += count
            switch step {
            case .needsMore:
                if end == bytes.count || isOver {
                    left = Array(bytes[start...])
                    return
                }
                end = min(end + size, bytes.count)
            case .says(let bytes): said.append(bytes)
            case .asks(let address, let dialect): (asked, self.dialect) = (address, dialect)
            case .associates(let address): announced = address
            case .refuses(let bytes, let reason):
                said.append(bytes)
                self.reason = reason
            }
        }
    }
}

@Suite("SOCKS5") struct SocksNegotiationTests {
    static let greeting: [UInt8] = [5, 1, 0]
    static let toAddress: [UInt8] = [5, 1, 0, 1, 192, 0, 2, 1, 0, 80]
    static let optimistic = Array("GET / HTTP/1.0\r\n\r\n".utf8)
    static let users = try? ProxyUsers(Array("# comment\r\nme:secret:word\r\n\nother:x\n".utf8))

    static func name(_ name: String, port: UInt16 = 443) -> [UInt8] {
        [5, 1, 0, 3, UInt8(name.utf8.count)] + name.utf8 + [UInt8(port >> 8), UInt8(port & 0xff)]
    }

    static func credentials(_ user: String, _ password: String) -> [UInt8] {
        [1, UInt8(user.utf8.count)] + user.utf8 + [UInt8(password.utf8.count)] + password.utf8
    }

    static let requests: [([UInt8], ProxyAddress)] = [
        (toAddress, ProxyAddress(host: .v4(0xc000_0201), port: 80)),
        (
            [5, 1, 0, 4, 0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [7, 0x1f, 0x90],
            ProxyAddress(host: .v6(high: 0x2001_0db8_0000_0000, low: 7), port: 8080)
        ),
        (name("db1.test"), ProxyAddress(host: .name("db1.test"), port: 443)),
        (
            name(String(repeating: "n", count: 255)),
            ProxyAddress(host: .name(String(repeating: "n", count: 255)), port: 443)
        ),
    ]

    @Test("each kind of address, in pieces of any size; what follows the request is left", arguments: requests)
    func request(bytes: [UInt8], address: ProxyAddress) {
        let all = Self.greeting + bytes + Self.optimistic
        for size in [1, 2, 3, 7, 64, .max] {
            let found = Negotiated(all, inPiecesOf: size)
            #expect(found.said == [[5, 0]] && found.asked == address && found.dialect == .socks5)
            #expect(found.left == Self.optimistic, "in pieces of \(size)")
        }
        for count in 0..<Self.greeting.count + bytes.count {
            let found = Negotiated(Array(all[..<count]))
            #expect(!found.isOver && found.left.isEmpty && found.said.count == (count < 3 ? 0 : 1))
        }
    }

    @Test("user and password, right ones alone")
    func credentials() {
        func found(_ user: String, _ password: String) -> Negotiated {
            let bytes = [5, 2, 0, 2] + Self.credentials(user, password) + Self.toAddress
            let whole = Negotiated(bytes, users: Self.users)
            #expect(Negotiated(bytes, users: Self.users, inPiecesOf: 1) == whole)
            return whole
        }
        for (user, password) in [("me", "secret:word"), ("other", "x")] {
            #expect(found(user, password).said == [[5, 2], [1, 0]] && found(user, password).asked != nil)
        }
        let wrong = [
            ("me", "secret"), ("me", "secret:word2"), ("me", ""), ("", ""), ("you", "x"), ("me", "x"), ("other", "xx"),
            ("you", "\0"),
        ]
        for (user, password) in wrong {
            let found = found(user, password)
            #expect(
                found.said == [[5, 2], [1, 1]] && found.asked == nil && found.reason != nil, "\(user):\(password)")
        }
        let otherVersion = Negotiated(
            [5, 1, 2, 2, 2] + Self.credentials("me", "secret:word").dropFirst(2), users: Self.users)
        #expect(otherVersion.said == [[5, 2], [1, 1]])
    }

    @Test("without a way to log in that both know")
    func methods() {
        for methods in [[], [2], [1, 3, 0x80]] as [[UInt8]] {
            #expect(Negotiated([5, UInt8(methods.count)] + methods).said == [[5, 0xff]])
        }
        #expect(Negotiated([5, 1, 0], users: Self.users).said == [[5, 0xff]])
        #expect(Negotiated([5, 255] + [UInt8](repeating: 7, count: 254) + [0]).said == [[5, 0]])
    }

    @Test(
        "what cannot be done has its code",
        arguments: [
            ([5, 2, 0, 1, 192, 0, 2, 1, 0, 80], 7),
            ([5, 9, 0, 3, 1, 97, 0, 80], 7),
            ([5, 1, 0, 2], 8), ([5, 1, 0, 0], 8), ([5, 1, 0, 255, 1, 2, 3], 8), ([4, 1, 0, 1, 192, 0, 2, 1, 0, 80], 1),
            ([5, 1, 0, 3, 0, 0, 80], 1), ([5, 1, 0, 3, 2, 97, 0, 0, 80], 1), ([5, 1, 0, 3, 2, 97, 32, 0, 80], 1),
        ] as [([UInt8], UInt8)])
    func refusals(request: [UInt8], code: UInt8) {
        let found = Negotiated(Self.greeting + request)
        #expect(found.said == [[5, 0], [5, code, 0, 1, 0, 0, 0, 0, 0, 0]] && found.reason != nil)
    }

    @Test("what is neither SOCKS5 nor HTTP")
    func foreign() {
        #expect(Negotiated([4, 1, 0, 80, 192, 0, 2, 1, 0]).said == [[0, 0x5b, 0, 0, 0, 0, 0, 0]])
        for first in UInt8.min...UInt8.max {
            let isLetter = (0x41...0x5a).contains(first) || (0x61...0x7a).contains(first)
            let found = Negotiated([first])
            #expect(found.isOver != (isLetter || first == 5))
            if found.isOver, first != 4 { #expect(found.said == [[]]) }
        }
    }

    @Test("answers")
    func answers() {
        let v6 = ProxyAddress(host: .v6(high: 0x2001_0db8_0000_0000, low: 1), port: 0x1234)
        #expect(
            ProxyDialect.socks5.granted(at: v6)
                == [5, 0, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x12, 0x34])
        let codes = ProxyFailure.allCases.map { ProxyDialect.socks5.denied($0, "")[1] }
        #expect(codes == [1, 2, 3, 4, 4, 4, 5, 7, 8])
        for dialect in [ProxyDialect.socks5, .http] {
            #expect(dialect.granted(at: ProxyAddress(nil)).count >= ProxyDialect.shortestGrant)
        }
    }

    @Test(
        "a file of users with a mistake",
        arguments: [
            ("", 0), ("# nobody\n", 0), ("me:x\nyou", 2), (":x", 1), ("me:", 1), ("me:x\nme:y\n", 2),
            (String(repeating: "u", count: 256) + ":x", 1), ("me:" + String(repeating: "p", count: 256), 1),
        ])
    func mistakes(text: String, line: Int) {
        #expect {
            try ProxyUsers(Array(text.utf8))
        } throws: {
            ($0 as? ProxyUsers.Mistake)?.line == line
        }
    }
}
