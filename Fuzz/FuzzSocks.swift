/// What a client of the SOCKS port says is understood in the same way in whatever pieces it comes, with and without users, and no
/// byte behind its request is taken.
func fuzzSocks(_ input: [UInt8]) {
    let users = try? ProxyUsers(Array("me:secret\nother:x\n".utf8))
    for users in [nil, users] {
        let whole = negotiate(input, users, inPiecesOf: .max)
        for size in [1, 2, 7] {
            require(negotiate(input, users, inPiecesOf: size) == whole, "other steps in pieces of \(size)")
        }
        let (address, dialect): (ProxyAddress, ProxyDialect)
        switch whole.steps.last {
        case .asks(let asked, let spoken): (address, dialect) = (asked, spoken)
        case .associates(let announced): (address, dialect) = (announced, .socks5)
        case .needsMore, .says, .refuses, nil: continue
        }
        // What is behind it does not count.
        require(negotiate(Array(input[..<whole.taken]), users, inPiecesOf: .max) == whole)
        if users != nil, dialect == .socks5 { require(whole.steps.count == 3, "nobody has logged in") }
        require(ProxyAddress(address.encoded[...]) == address)
    }
    if let users = try? ProxyUsers(input) { require(users.admit([], []) == false, "nobody may log in") }
    _ = ProxyAddress(input[...])
    fuzzDatagram(input)
}

/// What is read of a datagram's header is all of it, and nothing behind it.
private func fuzzDatagram(_ input: [UInt8]) {
    guard let datagram = ProxyDatagram(input[...]) else { return }
    require(datagram.headerLength <= min(input.count, ProxyDatagram.longestHeader), "the header is too long")
    let header = Array(input[..<datagram.headerLength])
    require(ProxyDatagram(header[...]) == datagram, "the content counts")
    for count in header.indices { require(ProxyDatagram(header[..<count]) == nil, "half a header is one") }
    guard datagram.fragment == 0 else { return }
    require(ProxyDatagram.header(from: datagram.address) == header, "another header is written")
}

private struct Negotiation: Equatable {
    var steps: [ProxyStep] = []
    var taken = 0
}

private func negotiate(_ input: [UInt8], _ users: ProxyUsers?, inPiecesOf size: Int) -> Negotiation {
    var negotiation = ProxyNegotiation(users: users)
    var result = Negotiation()
    var end = min(size, input.count)
    while true {
        let (count, step) = negotiation.take(input[result.taken..<end])
        require(count <= end - result.taken, "more taken than there is")
        result.taken += count
        switch step {
        case .needsMore:
            require(result.taken == end || isOver(result.steps.last), "bytes are left, and more are wanted")
            if end == input.count || isOver(result.steps.last) { return result }
            end = min(end == 0 ? size : end + size, input.count)
        case .says(let bytes): require(bytes.count == 2)
        case .asks, .associates, .refuses: break
        }
        if step != .needsMore {
            require(!isOver(result.steps.last), "it is over, and goes on")
            result.steps.append(step)
        }
    }
}

private func isOver(_ step: ProxyStep?) -> Bool {
    switch step {
    case .asks, .associates, .refuses: true
    case .needsMore, .says, nil: false
    }
}
