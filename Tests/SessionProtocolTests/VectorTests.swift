import Testing

@testable import SessionProtocol

#if canImport(Glibc)
import Glibc
#endif

/// The vectors of docs/protocol.md: sections of `name = value`.
private struct Vectors {
    typealias Section = [String: String]
    var sections: [String: Section] = [:]

    init(file: StaticString = #filePath) throws {
        let root = "\(file)".split(separator: "/").dropLast(3).joined(separator: "/")
        let lines = try text(of: "/" + root + "/docs/protocol.md").split(separator: "\n")
        let start = try #require(lines.firstIndex { $0 == "```usl-vectors" })
        var name = ""
        for line in lines[(start + 1)...].prefix(while: { $0 != "```" }) {
            if line.hasPrefix("[") {
                name = String(line.dropFirst().dropLast())
                sections[name] = [:]
            } else {
                let parts = line.split(separator: "=", maxSplits: 1)
                sections[name]?[parts[0].filter { $0 != " " }] = String(parts[1].drop { $0 == " " })
            }
        }
    }

    subscript(_ section: String) -> Vector {
        get throws { Vector(values: try #require(sections[section])) }
    }
}

private struct Vector {
    let values: [String: String]

    func text(_ key: String) throws -> String { try #require(values[key]) }
    func number(_ key: String) throws -> UInt64 { try #require(UInt64(text(key))) }
    func bytes(_ key: String) throws -> [UInt8] {
        let digits = try text(key).compactMap { $0.hexDigitValue }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
    func session() throws -> SessionID {
        let words = try bytes("session").map { UInt64($0) }
        return SessionID(
            high: words.prefix(8).reduce(0) { $0 << 8 | $1 }, low: words.suffix(8).reduce(0) { $0 << 8 | $1 })
    }
    /// The proof that ends the frame.
    func proof() throws -> Proof { try #require(Proof(bytes: Array(bytes("frame").suffix(32)))) }
}

private func text(of path: String) throws -> String {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return String(decoding: bytes, as: UTF8.self)
}

@Suite struct VectorTests {
    private let vectors: Vectors

    init() throws { vectors = try Vectors() }

    private func open() throws -> OpenMessage {
        let vector = try vectors["open"]
        return OpenMessage(
            session: try vector.session(), keyShare: try vector.bytes("key_share"),
            destination: try #require(
                Destination(address: vector.bytes("address"), port: UInt16(vector.number("port")))),
            suspendLimit: UInt32(try vector.number("suspend_limit")))
    }

    @Test func preface() throws {
        #expect(try vectors["preface"].bytes("frame") == Wire.preface)
    }

    @Test func openFrame() throws {
        let frame = try vectors["open"].bytes("frame")
        #expect(try open().encoded == frame)
        #expect(try OpenMessage(payload: frame.payload) == open())
        let extended = try vectors["open-with-an-unknown-item"]
        #expect(try extended.text("equals") == "open")
        #expect(try OpenMessage(payload: extended.bytes("frame").payload) == open())
    }

    @Test func openedFrame() throws {
        let vector = try vectors["opened"]
        let message = OpenedMessage(
            keyShare: try vector.bytes("key_share"), instance: try vector.number("instance"),
            suspendLimit: UInt32(try vector.number("suspend_limit")))
        let unsealed = message.unsealed(answering: try open().encoded)
        let frame = try vector.bytes("frame")
        #expect(unsealed.sealed(with: try vector.proof()) == frame)
        let decoded = try OpenedMessage.decode(
            FrameHeader(frame: frame), frame.payload, answering: try open().encoded)
        #expect(decoded.transcript == unsealed.transcript)
        #expect(try decoded.verified(by: vector.proof())?.message == message)
    }

    @Test(arguments: ["attach", "attached", "attached-stale"])
    func claim(_ name: String) throws {
        let vector = try vectors[name]
        let claim = AttachClaim(
            role: name == "attach" ? .opener : .acceptor, session: try vector.session(),
            link: LinkNumber(try vector.number("link")), epoch: try vector.number("epoch"),
            received: try vector.number("received"), acknowledged: try vector.number("acknowledged"),
            window: UInt16(try vector.number("window")), isStale: name == "attached-stale",
            isRestarted: false)
        let frame = try vector.bytes("frame")
        #expect(claim.unsealed.sealed(with: try vector.proof()) == frame)
        let decoded = try AttachClaim.decode(FrameHeader(frame: frame), frame.payload)
        #expect(decoded.transcript == claim.unsealed.transcript)
        #expect(try decoded.verified(by: vector.proof())?.message == claim)
    }

    @Test func refusedFrame() throws {
        let vector = try vectors["refused"]
        let code = try #require(RefusedMessage.Code(rawValue: UInt16(vector.number("code"))))
        let message = RefusedMessage(code: code, text: try vector.text("text"))
        let frame = try vector.bytes("frame")
        #expect(message.encoded == frame)
        #expect(try RefusedMessage(payload: frame.payload) == message)
    }

    @Test func lookupFrames() throws {
        let (lookup, found) = (try vectors["lookup"], try vectors["found"])
        let question = try #require(LookupMessage(name: lookup.text("name"), port: UInt16(lookup.number("port"))))
        #expect(try question.encoded == lookup.bytes("frame"))
        #expect(try LookupMessage(payload: lookup.bytes("frame").payload) == question)
        let addresses = try found.text("addresses").split(separator: " ").map {
            try Vector(values: ["a": String($0)]).bytes("a")
        }
        let answer = try #require(FoundMessage(addresses: addresses))
        #expect(try answer.encoded == found.bytes("frame"))
        #expect(try FoundMessage(payload: found.bytes("frame").payload) == answer)
    }

    @Test func askFrame() throws {
        let vector = try vectors["ask"]
        let destination = try #require(
            Destination(address: try vector.bytes("address"), port: UInt16(vector.number("port"))))
        let frame = try vector.bytes("frame")
        #expect(AskMessage(destination: destination).encoded == frame)
        #expect(try AskMessage(payload: frame.payload).destination == destination)
    }

    @Test func answerFrame() throws {
        let vector = try vectors["answer"]
        let service = try #require(AnswerMessage.Service(rawValue: UInt16(vector.number("code"))))
        let frame = try vector.bytes("frame")
        #expect(AnswerMessage(service).encoded == frame)
        #expect(try AnswerMessage(payload: frame.payload).service == service)
    }

    @Test(arguments: ["gone", "gone-unknown"])
    func goneFrame(_ name: String) throws {
        let vector = try vectors[name]
        let reason = try #require(GoneMessage.Reason(rawValue: UInt16(vector.number("reason"))))
        let positions =
            vector.values["sent"] == nil
            ? nil
            : GoneMessage.FinalPositions(sent: try vector.number("sent"), delivered: try vector.number("delivered"))
        let message = GoneMessage(reason: reason, instance: try vector.number("instance"), positions: positions)
        let frame = try vector.bytes("frame")
        #expect(message.encoded == frame)
        #expect(try GoneMessage(payload: frame.payload) == message)
    }

    @Test(arguments: [
        ("data", FrameType.data), ("ack", .ack), ("fin", .fin), ("abort", .abort), ("ping", .ping), ("pong", .pong),
        ("leave", .leave),
    ])
    func ordinaryFrame(_ name: String, _ type: FrameType) throws {
        let vector = try vectors[name]
        let payload = type == .data ? try vector.bytes("payload") : []
        let header = FrameHeader(
            type: type, flags: vector.values["flags"] == nil ? 0 : UInt8(try vector.number("flags")),
            window: UInt16(try vector.number("window")), length: UInt32(payload.count),
            offset: try vector.number("offset"), acknowledged: try vector.number("acknowledged"))
        let frame = try vector.bytes("frame")
        #expect(header.encodedBytes + payload == frame)
        #expect(try FrameHeader(frame: frame) == header)
    }

    @Test func everythingElseIsRefused() throws {
        let rejected = vectors.sections.keys.filter { $0.hasPrefix("reject-") }
        #expect(rejected.count == 8)
        for name in rejected {
            let vector = try vectors[name]
            let bytes =
                vector.values["bytes"] == nil ? Wire.preface + (try vector.bytes("frame")) : try vector.bytes("bytes")
            #expect(throws: FrameError.self, "\(name)") { try take(bytes) }
            do throws(FrameError) {
                try take(bytes)
            } catch {
                #expect(try error.vectorName == vector.text("error"), "\(name)")
            }
        }
    }

    private func take(_ bytes: [UInt8]) throws(FrameError) {
        var decoder = FrameDecoder()
        var cursor = 0
        while true {
            switch try decoder.next(bytes.span.bytes, &cursor) {
            case .needMore: return
            case .frame(let header) where header.type == .open: _ = try OpenMessage(payload: decoder.payload)
            case .frame(let header): _ = try AttachClaim.decode(header, decoder.payload)
            case .preface, .dataHeader, .data: continue
            }
        }
    }
}

extension FrameError {
    fileprivate var vectorName: String {
        switch self {
        case .notUSL: "not-usl"
        case .otherVersion: "other-version"
        case .unknownType: "unknown-type"
        case .oversized: "oversized"
        case .malformed: "malformed"
        case .unknownCriticalItem: "unknown-critical-item"
        case .unexpected: "unexpected"
        }
    }
}
