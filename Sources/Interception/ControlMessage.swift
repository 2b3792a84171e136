// The messages between the preload library and the agent, over a Unix stream socket. Both ends are built from this one
// file and run on one machine, but not always from one build: an upgraded library may meet a running agent. Hence a
// version, and a fixed size that never changes. No imports: the library is Embedded Swift.
//
//     byte  0       version
//     byte  1       kind
//     byte  2       flags (connect: 1 = the socket blocks; associate: 1 = it connects; relayed: 1 = the local address;
//                   listen: 1 = IPv4 as well)
//     byte  3       length of the address, 0 if there is none
//     bytes 4–7     errno, milliseconds (attempt), a process (connect, heldSYN, listening, relayDatagrams), or how many bytes follow
//                   (resolved); little-endian like
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

    /// `AF_INET`, `AF_INET6`, …
    public var family: Int32 { Int32(self[0]) | Int32(self[1]) << 8 }

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

    /// The longest wait for an agent, in milliseconds. It answers within its grace time of 200 ms; only a stopped agent
    /// takes longer.
    public static let patience: Int64 = 10_000
    /// How often an agent may go away while it is asked. When one dies, its keeper, which owns the control socket, starts
    /// another; the next question waits for that.
    public static let attempts = 8

    static let version: UInt8 = 1

    private(set) var kind: UInt8
    private(set) var flags: UInt8 = 0
    private(set) var code: Int32 = 0
    private(set) var cookie: UInt64 = 0
    private(set) var address: AddressBytes?

    /// - Parameter flag: the one flag that the kind has.
    init(_ kind: UInt8, _ address: AddressBytes? = nil, flag: Bool = false, code: Int32 = 0, cookie: UInt64 = 0) {
        self.kind = kind
        self.address = address
        flags = flag ? Self.flag : 0
        self.code = code
        self.cookie = cookie
    }

    private static let flag: UInt8 = 1

    var isFlagged: Bool { flags & Self.flag != 0 }

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
    /// The application connects the socket that comes with this message (`SCM_RIGHTS`). `blocking`: it will wait. `process`: whose
    /// socket it is, where that is another process than the one that asks; else 0.
    case connect(to: AddressBytes, blocking: Bool, process: Int32 = 0)
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
    /// The application listens at this address, for connections over TCP; `process` as with `connect`. Answered with `notMine` once
    /// that is noted.
    case listening(at: AddressBytes, process: Int32 = 0)
    /// A server program's agent offers this port to a gateway, in that network (`SO_NETNS_COOKIE`, 0 if the kernel has none). The
    /// gateway's end of an `OfferChannel` comes with this message; the answer is there.
    case offer(of: AddressBytes, network: UInt64)
    /// Who is the client whose connection has come to a server from this address?
    case client(at: AddressBytes)
    /// A donated socket sends datagrams from this address of its namespace, the wildcard if the program has not bound it: for a socket
    /// outside, with that port if it is free. It comes with the answer.
    case datagrams(from: AddressBytes)
    /// Datagrams of this process go to this address, through the socket outside that comes with this message: as `associate`.
    case relayDatagrams(to: AddressBytes, process: Int32)

    public init?(_ bytes: borrowing Span<UInt8>) {
        guard let message = ControlMessage(bytes) else { return nil }
        switch (message.kind, message.address) {
        case (1, .some(let address)):
            self = .connect(to: address, blocking: message.isFlagged, process: message.code)
        case (2, let address): self = .peerName(cookie: message.cookie, at: address)
        case (3, _): self = .status
        case (4, let address):
            guard let name = SessionName(address) else { return nil }
            self = .session(name)
        case (5, let address):
            guard let name = SessionName(address) else { return nil }
            self = .drop(name)
        case (6, _): self = .localName(cookie: message.cookie)
        case (7, _): self = .replace(ledgerVersion: message.cookie)
        case (8, _) where message.code > 0 && message.code <= ResolvedMessage.capacity:
            self = .resolved(byteCount: Int(message.code))
        case (9, _) where message.code >= 0: self = .attemptFailed(message.code)
        case (10, .some(let address)): self = .associate(to: address, connecting: message.isFlagged)
        case (11, .some(let address)): self = .relayed(at: address, local: message.isFlagged)
        case (13, .some(let address)): self = .listening(at: address, process: message.code)
        case (14, .some(let address)): self = .offer(of: address, network: message.cookie)
        case (15, .some(let address)): self = .client(at: address)
        case (20, .some(let address)): self = .heldSYN(address, process: message.code)
        case (21, _): self = .leg(number: message.cookie)
        case (22, _) where message.code > 0: self = .legFailed(message.code, number: message.cookie)
        case (23, .some(let address)): self = .listen(at: address, isDual: message.isFlagged)
        case (30, .some(let address)): self = .datagrams(from: address)
        case (31, .some(let address)): self = .relayDatagrams(to: address, process: message.code)
        default: return nil
        }
    }

    public func encoded() -> ControlMessage.Bytes { message.encoded() }

    private var message: ControlMessage {
        switch self {
        case .connect(let address, let blocking, let process):
            ControlMessage(1, address, flag: blocking, code: process)
        case .peerName(let cookie, let peer): ControlMessage(2, peer, cookie: cookie)
        case .status: ControlMessage(3)
        case .session(let name): ControlMessage(4, name.bytes)
        case .drop(let name): ControlMessage(5, name.bytes)
        case .localName(let cookie): ControlMessage(6, cookie: cookie)
        case .replace(let version): ControlMessage(7, cookie: version)
        case .resolved(let count): ControlMessage(8, code: Int32(truncatingIfNeeded: count))
        case .attemptFailed(let code): ControlMessage(9, code: code)
        case .associate(let address, let connecting): ControlMessage(10, address, flag: connecting)
        case .relayed(let relay, let local): ControlMessage(11, relay, flag: local)
        case .listening(let address, let process): ControlMessage(13, address, code: process)
        case .offer(let address, let network): ControlMessage(14, address, cookie: network)
        case .client(let address): ControlMessage(15, address)
        case .heldSYN(let address, let process): ControlMessage(20, address, code: process)
        case .leg(let number): ControlMessage(21, cookie: number)
        case .legFailed(let code, let number): ControlMessage(22, code: code, cookie: number)
        case .listen(let address, let isDual): ControlMessage(23, address, flag: isDual)
        case .datagrams(let address): ControlMessage(30, address)
        case .relayDatagrams(let address, let process): ControlMessage(31, address, code: process)
        }
    }
}

/// The agent's answer to `connect` (the first five), to `attemptFailed` (all of these but `attempt`, and `connectTo`), to `associate`
/// and `relayDatagrams` (`direct`, `leg` and `refused`), and to `peerName`, `localName`, `relayed` and `client` (the last two).
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
    /// The connection that `heldSYN` asks for is there: the agent waits for its leg. Or it listens, as `listen` asks, or
    /// the socket that `datagrams` asks for comes with this.
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

    public func encoded() -> ControlMessage.Bytes { message.encoded() }

    private var message: ControlMessage {
        switch self {
        case .direct: ControlMessage(65)
        case .leg(let address): ControlMessage(66, address)
        case .held(let address): ControlMessage(67, address)
        case .refused(let code): ControlMessage(68, code: code)
        case .asked(let address): ControlMessage(69, address)
        case .notMine: ControlMessage(70)
        case .attempt(let silence, let budget): ControlMessage(71, code: silence, cookie: budget)
        case .connectTo(let address): ControlMessage(72, address)
        case .accepted: ControlMessage(80)
        case .incoming(let address, let number): ControlMessage(81, address, cookie: number)
        }
    }
}
