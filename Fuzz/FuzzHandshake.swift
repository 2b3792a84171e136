/// The first byte picks the message, the rest is its payload. What is understood must survive being written again.
func fuzzHandshake(_ input: [UInt8]) {
    guard let pick = input.first, input.count <= Wire.maximumControl else { return }
    let payload = Array(input.dropFirst())
    let types: [FrameType] = [.open, .opened, .refused, .attach, .attached, .gone, .lookup, .found, .ask, .answer]
    let type = types[Int(pick) % types.count]
    do throws(FrameError) {
        try check(type, payload)
    } catch {
        switch error {
        case .malformed(let named): require(named == type)
        case .unknownCriticalItem(let item): require(item & 0x8000 != 0)
        case .notUSL, .otherVersion, .unknownType, .oversized, .unexpected: fail("\(error)")
        }
    }
}

private func check(_ type: FrameType, _ payload: [UInt8]) throws(FrameError) {
    let header = FrameHeader(type: type, flags: payload.last ?? 0, length: UInt32(payload.count), acknowledged: 7)
    switch type {
    case .open:
        let open = try OpenMessage(payload: payload)
        let again = try OpenMessage(payload: Array(open.encoded.dropFirst(Wire.headerLength)))
        require(again == open)
    case .opened:
        let opened = try OpenedMessage.decode(header, payload, answering: [1, 2, 3])
        require(opened.keyShare.count == Wire.keyShareLength && opened.proof.bytes.count == Wire.proofLength)
        require(opened.transcript.count == 12 + 3 + Wire.headerLength + payload.count - 36)
    case .refused:
        let refused = try RefusedMessage(payload: payload)
        require(refused.text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
        _ = try RefusedMessage(payload: Array(refused.encoded.dropFirst(Wire.headerLength)))
    case .attach, .attached:
        let claim = try AttachClaim.decode(header, payload)
        require(claim.message.session == claim.session && claim.message.acknowledged == 7)
        require(claim.transcript.count == 13 + Wire.headerLength + payload.count - 36)
        let again = claim.message.unsealed.sealed(with: claim.proof)
        let second = try AttachClaim.decode(
            try FrameHeader(again.span.bytes, at: 0), Array(again.dropFirst(Wire.headerLength)))
        require(second.message == claim.message)
    case .gone:
        let gone = try GoneMessage(payload: payload)
        let again = try GoneMessage(payload: Array(gone.encoded.dropFirst(Wire.headerLength)))
        require(again == gone)
    case .lookup:
        let lookup = try LookupMessage(payload: payload)
        require((1...LookupMessage.maximumName).contains(lookup.name.utf8.count))
        let again = try LookupMessage(payload: Array(lookup.encoded.dropFirst(Wire.headerLength)))
        require(again == lookup)
    case .found:
        let found = try FoundMessage(payload: payload)
        let again = try FoundMessage(payload: Array(found.encoded.dropFirst(Wire.headerLength)))
        require(again == found && !found.addresses.isEmpty)
    case .ask:
        let ask = try AskMessage(payload: payload)
        let again = try AskMessage(payload: Array(ask.encoded.dropFirst(Wire.headerLength)))
        require(again == ask)
    case .answer:
        let answer = try AnswerMessage(payload: payload)
        let again = try AnswerMessage(payload: Array(answer.encoded.dropFirst(Wire.headerLength)))
        require(again == answer)
    case .data, .ack, .fin, .abort, .ping, .pong, .leave: fail("no handshake frame")
    }
}
