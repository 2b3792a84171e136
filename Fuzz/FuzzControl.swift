/// A control message that is understood must survive being written again, and so must what stands behind it.
func fuzzControl(_ input: [UInt8]) {
    let head = Array(input.prefix(ControlMessage.size))
    if let request = ControlRequest(head.span) {
        let encoded = request.encoded()
        require(ControlRequest(encoded.span) == request)
        if case .resolved(let count) = request {
            require((1...ResolvedMessage.capacity).contains(count))
            fuzzResolved(Array(input.dropFirst(ControlMessage.size)))
        }
    }
    if let response = ControlResponse(head.span) {
        let encoded = response.encoded()
        require(ControlResponse(encoded.span) == response)
    }
}

private func fuzzResolved(_ payload: [UInt8]) {
    guard let message = ResolvedMessage(payload.span) else { return }
    var name: [UInt8] = []
    message.forEachNameByte { name.append($0) }
    guard var again = ResolvedMessage(nameCount: name.count, byte: { name[$0] }) else { fail("a name that is none") }
    message.forEachAddress { again.append($0) }
    require(again.addressCount == message.addressCount)
    require((0..<again.count).map { again[$0] } == payload)
}
