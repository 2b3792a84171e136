/// What a negotiation wants next.
public enum ProxyStep: Equatable, Sendable {
    /// More bytes.
    case needsMore
    /// To say this; it goes on.
    case says([UInt8])
    /// A connection to there. It is over, and the client waits for one of the two answers of its dialect.
    case asks(ProxyAddress, ProxyDialect)
    /// A place to send datagrams to, in SOCKS5; with the address that they will come from, zero where it is not known yet. It is over
    /// likewise.
    case associates(ProxyAddress)
    /// To say this, if anything, and to end the connection; with the reason, for people.
    case refuses([UInt8], String)
}

/// The server's side of what a client of the SOCKS port says before it is connected: SOCKS5 or HTTP CONNECT, told apart by the first
/// byte. Sans-IO, and bounded: what it holds is a message of SOCKS, 513
/// bytes at most, or 16 KiB of HTTP.
public struct ProxyNegotiation: Sendable {
    private enum State {
        case new
        case socks(SocksNegotiation)
        case http(ConnectHead)
        case over
    }

    private let users: ProxyUsers?
    private var state = State.new

    /// - Parameter users: who may use the port; nil: everybody.
    public init(users: ProxyUsers?) { self.users = users }

    /// Takes bytes of the client, as many as belong to this.
    ///
    /// - Returns: how many these are. The client's next bytes begin behind them; once it has asked, they are those of the
    ///   connection. None are taken, and more are needed, when it is over.
    public mutating func take(_ bytes: ArraySlice<UInt8>) -> (count: Int, step: ProxyStep) {
        guard let first = bytes.first else { return (0, .needsMore) }
        if case .new = state { begin(first) }
        let taken: (count: Int, step: ProxyStep)
        switch state {
        // Only what cannot be told apart is new here.
        case .new:
            state = .over
            return (0, Self.refusal(of: first))
        case .over: return (0, .needsMore)
        case .socks(var socks):
            taken = socks.take(bytes)
            state = .socks(socks)
        case .http(var head):
            // Without a second owner, what it gathers is not copied.
            state = .over
            taken = head.take(bytes)
            state = .http(head)
        }
        switch taken.step {
        case .asks, .associates, .refuses: state = .over
        case .needsMore, .says: break
        }
        return taken
    }

    private mutating func begin(_ first: UInt8) {
        if first == SocksNegotiation.version { state = .socks(SocksNegotiation(users: users)) }
        let isLetter = (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first & ~0x20)
        if isLetter { state = .http(ConnectHead(users: users)) }
    }

    private static func refusal(of first: UInt8) -> ProxyStep {
        // Its answer is "request rejected or failed"; it has neither IPv6 nor, in its first form, names.
        if first == 4 {
            return .refuses([0, 0x5b, 0, 0, 0, 0, 0, 0], "it speaks SOCKS4, and only SOCKS5 is served here")
        }
        return .refuses([], "it speaks neither SOCKS5 nor HTTP")
    }
}
