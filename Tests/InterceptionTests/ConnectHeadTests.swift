import Testing

@testable import Interception

@Suite("HTTP CONNECT") struct ConnectHeadTests {
    static let users = SocksNegotiationTests.users

    private func found(_ head: String, users: ProxyUsers? = nil) -> Negotiated {
        let bytes = Array(head.utf8)
        let whole = Negotiated(bytes, users: users)
        #expect(Negotiated(bytes, users: users, inPiecesOf: 1) == whole, "in pieces: \(head)")
        return whole
    }

    private func status(_ found: Negotiated) -> Int? {
        let words = String(decoding: found.said.last ?? [], as: UTF8.self).split(separator: " ")
        return words.count > 1 && words[0] == "HTTP/1.1" ? Int(words[1]) : nil
    }

    @Test(
        "a request, and what follows it is left",
        arguments: [
            ("db1:5432", "db1", 5432), ("192.0.2.1:1", "192.0.2.1", 1), ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ] as [(String, String, UInt16)])
    func requests(target: String, host: String, port: UInt16) {
        let heads = [
            "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nProxy-Connection: keep-alive\r\n\r\n",
            "CONNECT \(target) HTTP/1.0\r\n\r\n", "CONNECT \(target) HTTP/1.1\nUser-Agent: x\n\n",
        ]
        for head in heads {
            let found = found(head + "\r\nbytes")
            #expect(found.asked == ProxyAddress(host: .name(host), port: port) && found.dialect == .http)
            #expect(found.said.isEmpty && found.left == Array("\r\nbytes".utf8))
            for count in 0..<head.utf8.count {
                let part = Negotiated(Array(head.utf8.prefix(count)))
                #expect(!part.isOver && part.said.isEmpty && part.left.isEmpty)
            }
        }
    }

    @Test(
        "other requests",
        arguments: [
            ("GET http://db1/ HTTP/1.1\r\n\r\n", 405), ("connect db1:1 HTTP/1.1\r\n\r\n", 405),
            ("CONNECT\r\n\r\n", 400),
            ("CONNECT db1:1\r\n\r\n", 400), ("CONNECT db1:1 HTTP/2.0\r\n\r\n", 400),
            ("CONNECT  db1:1 HTTP/1.1\r\n\r\n", 400), ("CONNECT db1 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT :1 HTTP/1.1\r\n\r\n", 400), ("CONNECT db1: HTTP/1.1\r\n\r\n", 400),
            ("CONNECT db1:0 HTTP/1.1\r\n\r\n", 400), ("CONNECT db1:65536 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT db1:+1 HTTP/1.1\r\n\r\n", 400), ("CONNECT 2001:db8::1:1 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT []:1 HTTP/1.1\r\n\r\n", 400), ("CONNECT me@db1:1 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT db1/:1 HTTP/1.1\r\n\r\n", 400), ("CONNECT d\u{0}b:1 HTTP/1.1\r\n\r\n", 400),
            ("CONNECT dé:1 HTTP/1.1\r\n\r\n", 400), ("CONNECT db1:1 HTTP/1.1\r\nno field\r\n\r\n", 400),
            ("CONNECT db1:1 HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n", 400),
            ("CONNECT db1:1 HTTP/1.1\r\nHost : db1\r\n\r\n", 400), ("Q\n\n", 400),
            ("CONNECT \(String(repeating: "x", count: 256)):1 HTTP/1.1\r\n\r\n", 400),
        ])
    func refusals(head: String, code: Int) {
        let found = found(head)
        #expect(status(found) == code && found.reason != nil && found.asked == nil, "\(head)")
        let response = String(decoding: found.said.last ?? [], as: UTF8.self)
        #expect(response.contains("\r\nConnection: close\r\n") && response.hasSuffix("\n"))
        #expect((code == 405) == response.contains("\r\nAllow: CONNECT\r\n"))
        // The body is as long as it says.
        let body = response.components("\r\n\r\n").last ?? ""
        #expect(response.contains("\r\nContent-Length: \(body.utf8.count)\r\n"))
    }

    @Test("credentials")
    func credentials() {
        func found(_ field: String) -> Negotiated {
            self.found("CONNECT db1:1 HTTP/1.1\r\n\(field)\r\n", users: Self.users)
        }
        for field in [
            "Proxy-Authorization: Basic bWU6c2VjcmV0OndvcmQ=", "proxy-authorization:\tbasic  bWU6c2VjcmV0OndvcmQ",
            "PROXY-AUTHORIZATION:BASIC b3RoZXI6eA==  ",
        ] {
            let found = found(field + "\r\n")
            #expect(found.asked?.port == 1 && found.said.isEmpty, "\(field)")
        }
        for field in [
            "", "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n", "Proxy-Authorization: Basic\r\n",
            "Proxy-Authorization: Basic b3RoZXI6eA===\r\n", "Proxy-Authorization: Basic b3RoZXI6e!==\r\n",
            "Proxy-Authorization: Bearer b3RoZXI6eA==\r\n", "Authorization: Basic b3RoZXI6eA==\r\n",
            "Proxy-Authorization: Basic bm9jb2xvbg==\r\n",
        ] {
            let found = found(field)
            #expect(status(found) == 407 && found.asked == nil, "\(field)")
            let response = String(decoding: found.said.last ?? [], as: UTF8.self)
            #expect(response.contains("\r\nProxy-Authenticate: Basic realm=\"usl\"\r\n"))
        }
    }

    @Test("a head has 16 KiB at most")
    func longHead() {
        let start = "CONNECT db1:1 HTTP/1.1\r\nA: "
        let room = ConnectHead.maximumSize - start.utf8.count - 4
        let longest = start + String(repeating: "a", count: room) + "\r\n\r\n"
        #expect(Negotiated(Array(longest.utf8)).asked != nil)
        let longer = Negotiated(Array((start + String(repeating: "a", count: room + 1) + "\r\n\r\n").utf8))
        #expect(status(longer) == 400 && longer.asked == nil)
        #expect(status(Negotiated([UInt8](repeating: 0x61, count: 1 << 20))) == 400)
    }

    @Test("answers")
    func answers() {
        #expect(
            ProxyDialect.http.granted(at: ProxyAddress(nil))
                == Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8))
        let codes = ProxyFailure.allCases.map { $0.status.rawValue }
        #expect(codes == [502, 403, 502, 502, 502, 504, 502, 502, 502])
    }

    @Test("base64 is what RFC 4648 says, section 10")
    func base64() {
        for (text, bytes) in [
            ("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"), ("Zm8", "fo"),
        ] {
            #expect(Base64.decode(Array(text.utf8)[...]) == Array(bytes.utf8), "\(text)")
        }
        for text in ["Z", "Zm9vY", "Zm-_", "Zm9v===", "=Zm9", "Zm 9"] {
            #expect(Base64.decode(Array(text.utf8)[...]) == nil, "\(text)")
        }
    }
}

extension String {
    /// What stands between separators.
    fileprivate func components(_ separator: String) -> [String] { split(separator: separator).map(String.init) }
}
