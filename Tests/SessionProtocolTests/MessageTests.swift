import Testing

@testable import SessionProtocol

/// One item as bytes.
private func item(_ type: UInt16, _ value: [UInt8]) -> [UInt8] {
    [UInt8(type >> 8), UInt8(type & 0xff), UInt8(value.count >> 8), UInt8(value.count & 0xff)] + value
}

@Suite struct MessageTests {
    // MARK: Round trips

    @Test(arguments: [[10, 0, 0, 1], [UInt8](repeating: 0xfe, count: 16)])
    func open(_ address: [UInt8]) throws {
        let message = OpenMessage(
            session: SessionID(high: .max, low: 1), keyShare: Samples.share(9),
            destination: try #require(Destination(address: address, port: 65_535)), suspendLimit: 86_400)
        let header = try FrameHeader(frame: message.encoded)
        #expect(header.type == .open && Int(header.length) == message.encoded.payload.count)
        #expect(try OpenMessage(payload: message.encoded.payload) == message)
    }

    @Test func opened() throws {
        let message = OpenedMessage(keyShare: Samples.share(3), instance: 77, suspendLimit: 60)
        let unsealed = message.unsealed(answering: Samples.open.encoded)
        let frame = unsealed.sealed(with: Samples.proof(of: unsealed.transcript))
        let decoded = try OpenedMessage.decode(
            FrameHeader(frame: frame), frame.payload, answering: Samples.open.encoded)
        #expect(decoded.keyShare == message.keyShare)
        #expect(decoded.transcript == unsealed.transcript)
        #expect(decoded.verified(by: Samples.proof(of: decoded.transcript))?.message == message)
    }

    @Test func refused() throws {
        let message = RefusedMessage(code: .notAllowed, text: "port 22 is not allowed")
        #expect(try RefusedMessage(payload: message.encoded.payload) == message)
        #expect(try RefusedMessage(payload: item(0x000a, [0x7f, 0xff])).code == .failed, "a code to come")
    }

    @Test func refusedTextCannotDriveATerminal() throws {
        let message = RefusedMessage(code: .failed, text: "a\u{1b}[2Jb\u{7f}\r\n")
        #expect(try RefusedMessage(payload: message.encoded.payload).text == "a?[2Jb???")
        let long = RefusedMessage(code: .failed, text: String(repeating: "x", count: 5_000))
        #expect(try RefusedMessage(payload: long.encoded.payload).text.count == 1_024)
    }

    @Test(arguments: [[10, 0, 0, 1], [UInt8](repeating: 0xfe, count: 16)])
    func ask(_ address: [UInt8]) throws {
        let message = AskMessage(destination: try #require(Destination(address: address, port: 1337)))
        let header = try FrameHeader(frame: message.encoded)
        #expect(header.type == .ask && Int(header.length) == message.encoded.payload.count)
        #expect(try AskMessage(payload: message.encoded.payload) == message)
        #expect(throws: FrameError.malformed(.ask)) {
            try AskMessage(payload: item(0x8003, address + [0, 22]))
        }
        #expect(throws: FrameError.malformed(.ask)) { try AskMessage(payload: item(0x8004, [6])) }
        #expect(throws: FrameError.malformed(.ask)) {
            try AskMessage(payload: item(0x8003, [1, 2, 3]) + item(0x8004, [6]))
        }
    }

    @Test func answer() throws {
        for service in [AnswerMessage.Service.served, .offered, .unserved] {
            let message = AnswerMessage(service)
            #expect(try FrameHeader(frame: message.encoded).type == .answer)
            #expect(try AnswerMessage(payload: message.encoded.payload) == message)
        }
        #expect(try AnswerMessage(payload: item(0x000a, [0x7f, 0xff])).service == .served, "an answer to come")
        #expect(try AnswerMessage(payload: []).service == .served)
    }

    @Test func gone() throws {
        for reason in (1...8).compactMap({ GoneMessage.Reason(rawValue: $0) }) {
            let message = GoneMessage(reason: reason, instance: 5, positions: .init(sent: 10, delivered: .max))
            #expect(try GoneMessage(payload: message.encoded.payload) == message)
        }
        let bare = GoneMessage(reason: .unknown, instance: 0, positions: nil)
        #expect(try GoneMessage(payload: bare.encoded.payload) == bare)
        #expect(try GoneMessage(payload: item(0x000a, [0x7f, 0xff])).reason == .unknown, "a reason to come")
    }

    @Test func lookup() throws {
        let longest = String(repeating: "n", count: LookupMessage.maximumName)
        for name in ["a", "db1.test", longest] {
            let message = try #require(LookupMessage(name: name, port: 0xfffe))
            #expect(try FrameHeader(frame: message.encoded).type == .lookup)
            #expect(try LookupMessage(payload: message.encoded.payload) == message)
        }
        for name in ["", longest + "n", "a b", "a\n", "a\u{0}", "é", "\u{7f}"] {
            #expect(LookupMessage(name: name, port: 1) == nil)
            let payload = item(0x800e, [0, 1] + Array(name.utf8))
            #expect(throws: FrameError.malformed(.lookup)) { _ = try LookupMessage(payload: payload) }
        }
        for payload in [[], item(0x800e, []), item(0x800e, [1]), Array(item(0x800e, [0, 80, 97]).dropLast())] {
            #expect(throws: FrameError.malformed(.lookup)) { _ = try LookupMessage(payload: payload) }
        }
    }

    @Test func found() throws {
        let (v4, v6) = ([192, 0, 2, 1] as [UInt8], [UInt8](repeating: 0xfe, count: 16))
        for addresses in [[v4], [v6, v4], [[UInt8]](repeating: v6, count: FoundMessage.maximumAddresses)] {
            let message = try #require(FoundMessage(addresses: addresses))
            #expect(try FrameHeader(frame: message.encoded).type == .found)
            #expect(try FoundMessage(payload: message.encoded.payload) == message)
        }
        #expect(FoundMessage(addresses: [[UInt8]](repeating: v4, count: 65))?.addresses.count == 64)
        #expect(FoundMessage(addresses: []) == nil && FoundMessage(addresses: [v4, [1, 2, 3]]) == nil)
        let value = [4] + v4 + [16] + v6
        for count in 0..<value.count where count != 5 {
            let payload = item(0x800f, Array(value[..<count]))
            #expect(throws: FrameError.malformed(.found)) { _ = try FoundMessage(payload: payload) }
        }
        for value in [[5] + v4 + [0], [0], [UInt8](repeating: 0, count: 3)] + [
            [[UInt8]](repeating: [4] + v4, count: 65).flatMap(\.self)
        ] {
            #expect(throws: FrameError.malformed(.found)) { _ = try FoundMessage(payload: item(0x800f, value)) }
        }
    }

    @Test(arguments: [Role.opener, .acceptor])
    func claim(_ role: Role) throws {
        let claim = Samples.claim(
            role, link: 3, epoch: 9, received: 100, acknowledged: 90, window: 77, isStale: role == .acceptor)
        let frame = Samples.sealed(claim)
        let header = try FrameHeader(frame: frame)
        #expect(header.type == (role == .opener ? .attach : .attached))
        let decoded = try AttachClaim.decode(header, frame.payload)
        #expect(decoded.session == Pair.id)
        #expect(decoded.transcript == claim.unsealed.transcript)
        #expect(decoded.verified(by: Samples.proof(of: decoded.transcript))?.message == claim)
    }

    /// Only an acceptor can call an epoch stale.
    @Test func staleFlagOfAnOpenerIsIgnored() throws {
        var frame = Samples.sealed(Samples.claim(.opener))
        frame[1] = 0xff
        let decoded = try AttachClaim.decode(FrameHeader(frame: frame), frame.payload)
        #expect(!decoded.message.isStale)
    }

    // MARK: Malformed

    /// Every message, cut at every byte: nothing but a complete one is taken, and nothing traps.
    @Test func truncatedAtEveryByte() throws {
        let open = Samples.open.encoded.payload
        // Only the optional item at the end may be missing.
        let withoutLimit = open.count - 8
        for count in 0..<open.count where count != withoutLimit {
            #expect(throws: FrameError.malformed(.open)) { _ = try OpenMessage(payload: Array(open[..<count])) }
        }
        #expect(try OpenMessage(payload: Array(open[..<withoutLimit])).suspendLimit == .max)

        let unsealed = OpenedMessage(keyShare: Samples.share(3), instance: 77, suspendLimit: 60).unsealed(answering: [])
        let opened = unsealed.sealed(with: Samples.proof(of: []))
        let attach = Samples.sealed(Samples.claim(.opener))
        for count in 0..<opened.payload.count {
            #expect(throws: FrameError.malformed(.opened)) {
                _ = try OpenedMessage.decode(
                    FrameHeader(frame: opened), Array(opened.payload[..<count]), answering: [])
            }
        }
        for count in 0..<attach.payload.count {
            #expect(throws: FrameError.malformed(.attach)) {
                _ = try AttachClaim.decode(FrameHeader(frame: attach), Array(attach.payload[..<count]))
            }
        }
        let gone = GoneMessage(reason: .over, instance: 5, positions: .init(sent: 1, delivered: 2)).encoded.payload
        for count in 0..<gone.count where ![0, 6, 18].contains(count) {
            #expect(throws: FrameError.malformed(.gone)) { _ = try GoneMessage(payload: Array(gone[..<count])) }
        }
    }

    @Test func itemsOfAWrongLength() {
        let parts: [(UInt16, Int)] = [(0x8001, 16), (0x8002, 32), (0x8003, 6), (0x8004, 1), (0x0009, 4)]
        for wrong in parts.indices {
            for difference in [-1, 1] {
                let payload = parts.indices.flatMap { index in
                    item(
                        parts[index].0, [UInt8](repeating: 6, count: parts[index].1 + (index == wrong ? difference : 0))
                    )
                }
                #expect(throws: FrameError.malformed(.open)) { _ = try OpenMessage(payload: payload) }
            }
        }
    }

    @Test func otherProtocolsThanTCP() {
        var payload = Samples.open.encoded.payload
        let position = payload.indices.first { Array(payload[$0...].prefix(4)) == [0x80, 0x04, 0, 1] }
        payload[(position ?? 0) + 4] = 17
        #expect(throws: FrameError.malformed(.open)) { _ = try OpenMessage(payload: payload) }
    }

    // MARK: Items

    @Test func unknownItems() throws {
        let open = Samples.open.encoded.payload
        let skipped = item(0x7fff, [1, 2, 3]) + open + item(0x0101, [])
        #expect(try OpenMessage(payload: skipped) == Samples.open)
        for type in [0x8000, 0x8008, 0xffff] as [UInt16] {
            #expect(throws: FrameError.unknownCriticalItem(type)) {
                _ = try OpenMessage(payload: open + item(type, []))
            }
        }
    }

    /// The proof covers what stands before it, so nothing may stand behind.
    @Test func proofIsLast() throws {
        let attach = Samples.sealed(Samples.claim(.opener))
        #expect(throws: FrameError.malformed(.attach)) {
            _ = try AttachClaim.decode(FrameHeader(frame: attach), attach.payload + item(0x0101, []))
        }
    }

    @Test func proofCoversEveryByte() throws {
        let claim = Samples.claim(.acceptor, epoch: 4, received: 100, acknowledged: 90, isStale: true)
        let frame = Samples.sealed(claim)
        for index in frame.indices {
            for bit in 0..<8 {
                var altered = frame
                altered[index] ^= 1 << bit
                guard let header = try? FrameHeader(frame: altered), header.type == .attached,
                    let decoded = try? AttachClaim.decode(header, altered.payload)
                else { continue }
                // The length alone may differ: the decoder has used it to find the end of the payload.
                let isUnnoticed = decoded.verified(by: Samples.proof(of: decoded.transcript)) != nil
                #expect(!isUnnoticed, "byte \(index), bit \(bit)")
            }
        }
    }

    @Test func sessionIdentifierInWords() {
        #expect(SessionID(high: 0xab, low: 0).hex == "00000000000000ab0000000000000000")
    }
}
