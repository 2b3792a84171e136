import Testing

@testable import Rendezvous

@Suite("Enhancement answer")
struct EnhancementAnswerTests {
    private static let gateways = [
        EnhancementAnswer.Gateway(port: 7117, isTLS: true),
        .init(port: 1, isTLS: false, address: "192.0.2.1"),
        .init(port: 65535, isTLS: true, address: "2001:db8::1"),
    ]

    private func read(_ text: String) -> EnhancementAnswer.Reading { EnhancementAnswer.read(Array(text.utf8)) }

    private func answer(_ lines: String...) -> EnhancementAnswer.Reading {
        read("USL/EDP 1\n" + lines.map { $0 + "\n" }.joined() + "\n")
    }

    @Test("what is written is read")
    func roundTrip() {
        for count in 0...3 {
            let answer = EnhancementAnswer(gateways: Array(Self.gateways.prefix(count)))
            #expect(EnhancementAnswer.read(answer.encoded) == .complete(answer))
        }
        #expect(
            EnhancementAnswer(gateways: Self.gateways).encoded
                == Array(
                    """
                    USL/EDP 1
                    usl/1 port=7117 security=tls
                    usl/1 port=1 security=plain address=192.0.2.1
                    usl/1 port=65535 security=tls address=2001:db8::1


                    """.utf8))
    }

    @Test("an answer that is cut anywhere is none yet, and one with more behind it never")
    func truncatedAtEveryByte() {
        let bytes = EnhancementAnswer(gateways: Self.gateways).encoded
        for count in 0..<bytes.count {
            #expect(EnhancementAnswer.read(Array(bytes[..<count])) == .incomplete, "cut at \(count)")
        }
        for byte: UInt8 in [0, 10, 32, 65] { #expect(EnhancementAnswer.read(bytes + [byte]) == .malformed) }
    }

    @Test("who says something else is an ordinary server, from the first byte that differs")
    func foreign() {
        for text in [
            "SSH-2.0-OpenSSH_9.2\r\n", "220 ready\n", "U S", "USL/1\r\n\0", "USL/EDP 2\n", "USL/EDP 1\r\n", "\0",
        ] {
            #expect(read(text) == .foreign, "\(text)")
        }
    }

    @Test("unknown items, keys and kinds of security are skipped")
    func unknown() {
        #expect(
            answer("rocks", "usl/2 port=x", "usl/1 port=7117 security=tls weight=3 x=", "usl/1 port=1 security=quantum")
                == .complete(EnhancementAnswer(gateways: [.init(port: 7117, isTLS: true)])))
    }

    @Test(
        "what is wrong in a part is wrong as a whole",
        arguments: [
            "usl/1", "usl/1 port=7117", "usl/1 security=tls", "usl/1 port=0 security=tls",
            "usl/1 port=65536 security=tls",
            "usl/1 port=+1 security=tls", "usl/1 port= security=tls", "usl/1 port=000001 security=tls",
            "usl/1 port=1 port=1 security=tls", "usl/1  port=1 security=tls", " usl/1 port=1 security=tls",
            "usl/1 port=1 security=tls ", "usl/1 port=1 security=tls address=",
            "usl/1 port=1 security=tls address=db1.example",
            "usl/1 port=1 security=tls address=fe80::1%eth0", "usl/1 port=1 security=tls =1", "usl/1 port", "x\ty",
            "\u{e9}",
            "usl/1 port=1 security=tls\r",
        ])
    func malformed(line: String) { #expect(answer(line) == .malformed) }

    @Test("an answer has a bound, whole or not")
    func bounded() {
        let opening = "USL/EDP 1\n"
        let room = EnhancementAnswer.maximumSize - opening.utf8.count
        #expect(answer(String(repeating: "x", count: room - 2)) == .complete(EnhancementAnswer(gateways: [])))
        #expect(answer(String(repeating: "x", count: room - 1)) == .malformed)
        #expect(read(opening + String(repeating: "x", count: room - 1)) == .incomplete)
        #expect(read(opening + String(repeating: "x", count: room)) == .malformed)
    }
}
