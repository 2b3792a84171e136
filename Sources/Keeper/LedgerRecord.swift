import Synchronization

/// The fields of a ledger slot, by their place in its 256 bytes. Each number takes 8 bytes, in host order.
///
///     byte    0  state           0: free, 1: in use
///     byte    8  flags           `LedgerFlags`
///     byte   16  tail            position up to which the application's bytes are in the ring
///     byte   24  delivered       position up to which the application's socket has taken the peer's bytes, stored when
///                                the socket is given up and cannot be asked any more
///     byte   32  ring            `RingPlace`
///     byte   40  epoch sent
///     byte   48  epoch accepted
///     byte   56  base received   bytes_received of the leg when it was established
///     byte   64  base acked      bytes_acked likewise
///     byte   72  opened at       nanoseconds of CLOCK_BOOTTIME
///     byte   80  leg             its key in escrow; before there is one, that of the address where the application is held
///     byte   88  role            byte 88: role, byte 89: mode, bytes 92–95: how many seconds it may be without a link
///     byte   96  identifier      16 bytes
///     byte  112  resume key      32 bytes
///     byte  144  peer            24 bytes; `SocketAddress`
///     byte  168  destination     24 bytes
///
/// At an agent:
///
///     byte  192  instance        of the gateway, once OPENED has told it
///     byte  200  cookie          of the application's socket
///     byte  208  source          24 bytes: where the leg comes from; zero if nobody needs to wait for it
///     byte  232  program         16 bytes: its name, zero behind it
///     byte  248  spelling        1: the application asked for an IPv4-mapped IPv6 address; byte 249: how the
///                                leg is proven; bytes 252–255: the rule
///
/// At a gateway:
///
///     byte  192  opener's share  32 bytes: the key share of OPEN
///     byte  224  own share       32 bytes: that of OPENED
struct LedgerRecord {
    let base: UnsafeMutableRawPointer

    var state: SharedWord { SharedWord(base) }
    var flags: SharedWord { SharedWord(base + 8) }
    var tail: SharedWord { SharedWord(base + 16) }
    var delivered: SharedWord { SharedWord(base + 24) }
    var ring: SharedWord { SharedWord(base + 32) }
    var epochSent: SharedWord { SharedWord(base + 40) }
    var epochAccepted: SharedWord { SharedWord(base + 48) }
    var baseReceived: SharedWord { SharedWord(base + 56) }
    var baseAcknowledged: SharedWord { SharedWord(base + 64) }
    var openedAt: SharedWord { SharedWord(base + 72) }
    var leg: SharedWord { SharedWord(base + 80) }
    var role: SharedWord { SharedWord(base + 88) }
    var instance: SharedWord { SharedWord(base + 192) }
    var cookie: SharedWord { SharedWord(base + 200) }
    var spelling: SharedWord { SharedWord(base + 248) }

    static let identifier = 96..<112
    static let resumeKey = 112..<144
    static let peer = 144..<168
    static let destination = 168..<192
    static let source = 208..<232
    static let program = 232..<248
    static let openerShare = 192..<224
    static let ownShare = 224..<256

    var isInUse: Bool { state.load() != 0 }

    /// Stores bytes into a field of that length.
    func store(_ bytes: [UInt8], in field: Range<Int>) {
        bytes.withUnsafeBytes { store($0, in: field) }
    }

    func store(_ bytes: UnsafeRawBufferPointer, in field: Range<Int>) {
        precondition(bytes.count == field.count, "a field takes exactly its length")
        for word in stride(from: 0, to: bytes.count, by: 8) {
            SharedWord(base + field.lowerBound + word)
                .store(bytes.loadUnaligned(fromByteOffset: word, as: UInt64.self))
        }
    }

    func load(_ field: Range<Int>) -> [UInt8] {
        var writer = ByteWriter()
        for word in stride(from: field.lowerBound, to: field.upperBound, by: 8) {
            writer.write(SharedWord(base + word).load())
        }
        return writer.bytes
    }

    /// Frees the slot, and leaves no key behind.
    func erase() {
        for word in stride(from: 0, to: Ledger.slotSize, by: 8) { SharedWord(base + word).store(0) }
    }
}

/// A number in shared memory, which is only touched by atomic operations. All zeros are a valid one.
///
/// A store that a process has executed outlives it, whatever kills it, so that only the order of the stores matters. Stores
/// are release stores, which keeps the compiler from moving those above them below, and costs nothing on x86.
struct SharedWord {
    private let place: UnsafeMutablePointer<Atomic<UInt64>>

    /// - Parameter place: aligned for the number; `Atomic` has its size and alignment.
    init(_ place: UnsafeMutableRawPointer) { self.place = place.assumingMemoryBound(to: Atomic<UInt64>.self) }

    func store(_ value: UInt64) { place.pointee.store(value, ordering: .releasing) }
    func load() -> UInt64 { place.pointee.load(ordering: .acquiring) }
}
