// The messages between the preload library and the agent, over a Unix stream socket. Both ends are built from this one
// file and run on one machine, but not always from one build: an upgraded library may meet a running agent. Hence a
// version, and a fixed size that never changes. No imports: the library is Embedded Swift.
//
//     byte  0       version
//     byte  1       kind
//     byte  2       flags (connect: 1 = the socket blocks; associate: 1 = it connects; relayed: 1 = the local address;
//                   listen: 1 = IPv4 as well)
//     byte  3       length of the address, 0 if there is none
//     bytes 4–7     errno, milliseconds (attempt), a process (heldSYN), or how many bytes follow (resolved); little-endian like
//                   all numbers here
//     bytes 8–15    socket cookie, milliseconds (attempt), the number of a connection (incoming, leg, legFailed), or
//                   a network (offer)
//     bytes 16–43   address, or the identifier of a session
//     bytes 44–47   zero

/// A `struct sockaddr_in` or `sockaddr_in6` byte for byte, so that what the application asked for comes back unchanged.
public struct AddressBytes: Equatable, Sendable {
    /// `sizeof(struct sockaddr_in6)`, the larger of the two.
    public static let capacity = 28

    /// Between 1 and `capacity`.
    public let count: Int
    private let storage: InlineArray<28, UInt8>

    /// Takes the first `count` bytes that `byte` gives; nil if that is none or more than `capacity`.
    public init?(count: Int, byte: (Int) -> UInt8) {
        guard count > 0, count <= Self.capacity else { return nil }
        var storage = InlineArray<28, UInt8>(repeating: 0)
        for index in 0..<count { storage[index] = byte(index) }
        self.count = count
        self.storage = storage
    }

    /// The byte at `index`, and zero past the end.
    public subscript(index: Int) -> UInt8 { index < count ? storage[index] : 0 }

    public static func == (left: Self, right: Self) -> Bool {
        guard left.count == right.count else { return false }
        for index in 0..<left.count where left.storage[index] != right.storage[index] { return false }
        return true
    }
}

/// Names a session, as a client of the control socket does: the 16 bytes of its identifier.
public struct SessionName: Equatable, Sendable {
    public let high: UInt64
    public let low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    init?(_ address: AddressBytes?) {
        guard let address, address.count == 16 else { return nil }
        func word(_ start: Int) -> UInt64 {
            var word: UInt64 = 0
            for index in 0..<8 { word = word << 8 | UInt64(address[start + index]) }
            return word
        }
        self.init(high: word(0), low: word(8))
    }

    /// The identifier, in the place of an address.
    var bytes: AddressBytes? {
        AddressBytes(count: 16) { index in
            UInt8(truncatingIfNeeded: (index < 8 ? high : low) >> UInt64(56 - 8 * (index % 8)))
        }
    }
}

/// The fixed frame that requests and responses share.
public struct ControlMessage: Sendable {
    /// Bytes of every message, for all versions to come.
    public static let size = 48
    public typealias Bytes = InlineArray<48, UInt8>

    static let version: UInt8 = 1

    var kind: UInt8
    var flags: UInt8 = 0
    var code: Int32 = 0
    var cookie: UInt64 = 0
    var address: AddressBytes?

    init(kind: UInt8) { self.kind = kind }

    /// Reads a message; nil unless it has the right size, this version and a sound address.
    init?(_ bytes: borrowing Span<UInt8>) {
        guard bytes.count == Self.size, bytes[0] == Self.version else { return nil }
        kind = bytes[1]
        flags = bytes[2]
        var code: UInt32 = 0
        for index in 0..<4 { code |= UInt32(bytes[4 + index]) << UInt32(8 * index) }
        self.code = Int32(bitPattern: code)
        for index in 0..<8 { cookie |= UInt64(bytes[8 + index]) << UInt64(8 * index) }
        let count = Int(bytes[3])
        if count > 0 {
            var storage = InlineArray<28, UInt8>(repeating: 0)
            for index in 0..<28 { storage[index] = bytes[16 + index] }
            guard let address = AddressBytes(count: count, byte: { storage[$0] }) else { return nil }
            self.address = address
        }
    }

    func encoded() -> Bytes {
        var bytes = Bytes(repeating: 0)
        bytes[0] = Self.version
        bytes[1] = kind
        bytes[2] = flags
        let code = UInt32(bitPattern: code)
        for index in 0..<4 { bytes[4 + index] = UInt8(truncatingIfNeeded: code >> UInt32(8 * index)) }
        for index in 0..<8 { bytes[8 + index] = UInt8(truncatingIfNeeded: cookie >> UInt64(8 * index)) }
        if let address {
            bytes[3] = UInt8(truncatingIfNeeded: address.count)
            for index in 0..<address.count { bytes[16 + index] = address[index] }
        }
        return bytes
    }
}

/// What a client of the control socket wants. One request per connection, but for those that say so.
public enum ControlRequest: Equatable, Sendable {
    /// The application connects the socket that comes with this message (`SCM_RIGHTS`). `blocking`: it will wait.
    case connect(to: AddressBytes, blocking: Bool)
    /// Which address did the application ask for on the socket with this cookie (`SO_COOKIE`)? If none, the same as `client`, with what
    /// the kernel has for its peer; nil before that was a question.
    case peerName(cookie: UInt64, at: AddressBytes? = nil)
    /// Which local address would the socket with this cookie have without USL?
    case localName(cookie: UInt64)
    /// Every session of this process. The answer is JSON until end of file, not a `ControlResponse`.
    case status
    /// One session with what has happened to it lately. Answered like `status`, without sessions if it is not there.
    case session(SessionName)
    /// Give this session up. Answered like `session`, with what it was.
    case drop(SessionName)
    /// The attempt that `attempt` asked for has failed with this errno, or has been silent if it is 0. The socket comes with this
    /// message once more. Sent behind `connect`, over the same connection.
    case attemptFailed(Int32)
    /// Become the program that is described in the memory file that comes with this message. The answer is end of file, or
    /// `refused` by a process whose ledger is of another version.
    case replace(ledgerVersion: UInt64)
    /// A name was resolved: a `ResolvedMessage` of so many bytes stands behind this one. There is no answer.
    case resolved(byteCount: Int)
    /// The application sends datagrams to this address on the socket that comes with this message, or `connecting`, connects it
    /// there. The same question has the same answer.
    case associate(to: AddressBytes, connecting: Bool)
    /// Which address did the application ask for that gets datagrams from this relay? Or with `local`, which local address would
    /// its socket have without USL, but for the port?
    case relayed(at: AddressBytes, local: Bool)
    /// A donated socket of this process connects to this address, and its SYN is held. A second message of this kind, behind the
    /// first, has the address that it comes from, the wildcard if the program has not bound it.
    case heldSYN(AddressBytes, process: Int32)
    /// The leg that `accepted` asked for comes with this message, behind `heldSYN`; or that of an `incoming` connection, behind
    /// `listen`.
    case leg(number: UInt64)
    /// The leg of an `incoming` connection could not be made, with this errno.
    case legFailed(Int32, number: UInt64)
    /// A donated socket is about to listen at this address of its namespace: listen there outside. `isDual`: for IPv4 as well.
    case listen(at: AddressBytes, isDual: Bool)
    /// The application listens at this address, for connections over TCP. Answered with `notMine` once that is noted.
    case listening(at: AddressBytes)
    /// A server program's agent offers this port to a gateway, in that network (`SO_NETNS_COOKIE`, 0 if the kernel has none). The
    /// gateway's end of an `OfferChannel` comes with this message; the answer is there.
    case offer(of: AddressBytes, network: UInt64)
    /// Who is the client whose connection has come to a server from this address?
    case client(at: AddressBytes)

    private static let blockingFlag: UInt8 = 1
    private static let connectingFlag: UInt8 = 1
    private static let localFlag: UInt8 = 1
    private static let dualFlag: UInt8 = 1

    public init?(_ bytes: borrowing Span<UInt8>) {
        guard let message = ControlMessage(bytes) else { return nil }
        switch message.kind {
        case 1:
            guard let address = message.address else { return nil }
            self = .connect(to: address, blocking: message.flags & Self.blockingFlag != 0)
        case 2: self = .peerName(cookie: message.cookie, at: message.address)
        case 3: self = .status
        case 6: self = .localName(cookie: message.cookie)
        case 4, 5:
            guard let name = SessionName(message.address) else { return nil }
            self = message.kind == 4 ? .session(name) : .drop(name)
        case 7: self = .replace(ledgerVersion: message.cookie)
        case 8:
            guard message.code > 0, message.code <= ResolvedMessage.capacity else { return nil }
            self = .resolved(byteCount: Int(message.code))
        case 9 where message.code >= 0: self = .attemptFailed(message.code)
        case 10:
            guard let address = message.address else { return nil }
            self = .associate(to: address, connecting: message.flags & Self.connectingFlag != 0)
        case 11:
            guard let address = message.address else { return nil }
            self = .relayed(at: address, local: message.flags & Self.localFlag != 0)
        case 20:
            guard let address = message.address else { return nil }
            self = .heldSYN(address, process: message.code)
        case 21: self = .leg(number: message.cookie)
        case 22 where message.code > 0: self = .legFailed(message.code, number: message.cookie)
        case 23:
            guard let address = message.address else { return nil }
            self = .listen(at: address, isDual: message.flags & Self.dualFlag != 0)
        case 13:
            guard let address = message.address else { return nil }
            self = .listening(at: address)
        case 14:
            guard let address = message.address else { return nil }
            self = .offer(of: address, network: message.cookie)
        case 15:
            guard let address = message.address else { return nil }
            self = .client(at: address)
        default: return nil
        }
    }

    public func encoded() -> ControlMessage.Bytes {
        var message: ControlMessage
        switch self {
        case .connect(let address, let blocking):
            message = ControlMessage(kind: 1)
            message.address = address
            if blocking { message.flags |= Self.blockingFlag }
        case .peerName(let cookie, let peer):
            message = ControlMessage(kind: 2)
            message.cookie = cookie
            message.address = peer
        case .localName(let cookie):
            message = ControlMessage(kind: 6)
            message.cookie = cookie
        case .status: message = ControlMessage(kind: 3)
        case .session(let name):
            message = ControlMessage(kind: 4)
            message.address = name.bytes
        case .drop(let name):
            message = ControlMessage(kind: 5)
            message.address = name.bytes
        case .replace(let version):
            message = ControlMessage(kind: 7)
            message.cookie = version
        case .attemptFailed(let code):
            message = ControlMessage(kind: 9)
            message.code = code
        case .resolved(let count):
            message = ControlMessage(kind: 8)
            message.code = Int32(truncatingIfNeeded: count)
        case .associate(let address, let connecting):
            message = ControlMessage(kind: 10)
            message.address = address
            if connecting { message.flags |= Self.connectingFlag }
        case .relayed(let relay, let local):
            message = ControlMessage(kind: 11)
            message.address = relay
            if local { message.flags |= Self.localFlag }
        case .heldSYN(let address, let process):
            message = ControlMessage(kind: 20)
            message.address = address
            message.code = process
        case .leg(let number):
            message = ControlMessage(kind: 21)
            message.cookie = number
        case .legFailed(let code, let number):
            message = ControlMessage(kind: 22)
            message.code = code
            message.cookie = number
        case .listen(let address, let isDual):
            message = ControlMessage(kind: 23)
            message.address = address
            if isDual { message.flags |= Self.dualFlag }
        case .listening(let address):
            message = ControlMessage(kind: 13)
            message.address = address
        case .offer(let address, let network):
            message = ControlMessage(kind: 14)
            message.address = address
            message.cookie = network
        case .client(let address):
            message = ControlMessage(kind: 15)
            message.address = address
        }
        return message.encoded()
    }
}

/// The agent's answer to `connect` (the first five), to `attemptFailed` (all of these but `attempt`, and `connectTo`), to `associate`
/// (`direct`, `leg` and `refused`), and to `peerName`, `localName`, `relayed` and `client` (the last two).
public enum ControlResponse: Equatable, Sendable {
    /// Connect to where the application wanted to go; USL has no part in it.
    case direct
    /// Connect the application's socket to this loopback address: the session is open. Or send its datagrams there.
    case leg(AddressBytes)
    /// The same, but there is no verdict yet: the socket stays in SYN_SENT until there is one.
    case held(AddressBytes)
    /// The connection failed with this errno.
    case refused(Int32)
    /// Connect to where the application wanted to go, without blocking; if that fails, or is silent for this many
    /// milliseconds, say so. The answer takes up to `budget` milliseconds.
    case attempt(silence: Int32, budget: UInt64)
    /// Connect the application's socket to this address: it leads to the same server, and works.
    case connectTo(AddressBytes)
    /// The application asked for this address, or would have it.
    case asked(AddressBytes)
    /// No session belongs to that socket.
    case notMine
    /// The connection that `heldSYN` asks for is there: the agent waits for its leg. Or it listens, as `listen` asks.
    case accepted
    /// Somebody has connected where `listen` asked for it, from this address. A second message of this kind, behind the first, has
    /// the address that was asked for.
    case incoming(AddressBytes, number: UInt64)

    public init?(_ bytes: borrowing Span<UInt8>) {
        guard let message = ControlMessage(bytes) else { return nil }
        switch (message.kind, message.address) {
        case (65, _): self = .direct
        case (66, .some(let address)): self = .leg(address)
        case (67, .some(let address)): self = .held(address)
        case (68, _) where message.code > 0: self = .refused(message.code)
        case (69, .some(let address)): self = .asked(address)
        case (70, _): self = .notMine
        case (71, _) where message.code > 0: self = .attempt(silence: message.code, budget: message.cookie)
        case (72, .some(let address)): self = .connectTo(address)
        case (80, _): self = .accepted
        case (81, .some(let address)): self = .incoming(address, number: message.cookie)
        default: return nil
        }
    }

    public func encoded() -> ControlMessage.Bytes {
        var message: ControlMessage
        switch self {
        case .direct: message = ControlMessage(kind: 65)
        case .leg(let address):
            message = ControlMessage(kind: 66)
            message.address = address
        case .held(let address):
            message = ControlMessage(kind: 67)
            message.address = address
        case .refused(let code):
            message = ControlMessage(kind: 68)
            message.code = code
        case .asked(let address):
            message = ControlMessage(kind: 69)
            message.address = address
        case .notMine: message = ControlMessage(kind: 70)
        case .attempt(let silence, let budget):
            message = ControlMessage(kind: 71)
            message.code = silence
            message.cookie = budget
        case .connectTo(let address):
            message = ControlMessage(kind: 72)
            message.address = address
        case .accepted: message = ControlMessage(kind: 80)
        case .incoming(let address, let number):
            message = ControlMessage(kind: 81)
            message.address = address
            message.cookie = number
        }
        return message.encoded()
    }
}
