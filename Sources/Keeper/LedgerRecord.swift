import Synchronization

/// The fields of a ledger slot, by their place in its 256 bytes. All numbers are in host order.
///
///     byte    0  state           4 bytes; 0: free, 1: in use
///     byte    4  flags           4 bytes; `LedgerFlags`
///     byte    8  tail            8 bytes; position up to which the application's bytes are in the ring
///     byte   16  delivered       8 bytes; position up to which the application's socket has taken the peer's bytes
///     byte   24  ring            8 bytes; `RingPlace`
///     byte   32  epoch sent      8 bytes
///     byte   40  epoch accepted  8 bytes
///     byte   48  base received   8 bytes; bytes_received of the leg when it was established
///     byte   56  base acked      8 bytes; bytes_acked likewise
///     byte   64  identifier      16 bytes
///     byte   80  resume key      32 bytes
///     byte  112  peer            24 bytes; `SocketAddress`
///     byte  136  destination     24 bytes
///     byte  160  opened at       8 bytes; nanoseconds of CLOCK_BOOTTIME
///     byte  168  leg             8 bytes; its key in escrow
///     byte  176  role, mode      1 byte each
///     byte  178  zero, to byte 255
///
struct LedgerRecord {
    let base: UnsafeMutableRawPointer

    var state: SharedField<UInt32> { SharedField(base + 0) }
    var flags: SharedField<UInt32> { SharedField(base + 4) }
    var tail: SharedField<UInt64> { SharedField(base + 8) }
    var delivered: SharedField<UInt64> { SharedField(base + 16) }
    var ring: SharedField<UInt64> { SharedField(base + 24) }
    var epochSent: SharedField<UInt64> { SharedField(base + 32) }
    var epochAccepted: SharedField<UInt64> { SharedField(base + 40) }
    var baseReceived: SharedField<UInt64> { SharedField(base + 48) }
    var baseAcknowledged: SharedField<UInt64> { SharedField(base + 56) }
    var openedAt: SharedField<UInt64> { SharedField(base + 160) }
    var leg: SharedField<UInt64> { SharedField(base + 168) }
    var role: SharedField<UInt8> { SharedField(base + 176) }
    var mode: SharedField<UInt8> { SharedField(base + 177) }

    static let identifier = 64..<80
    static let resumeKey = 80..<112
    static let peer = 112..<136
    static let destination = 136..<160

    var isInUse: Bool { state.load() != 0 }

    /// Stores bytes into a field of that length.
    func store(_ bytes: [UInt8], in field: Range<Int>) {
        precondition(bytes.count == field.count, "a field takes exactly its length")
        for (byte, place) in zip(bytes, field) { SharedField(base + place).store(byte) }
    }

    func load(_ field: Range<Int>) -> [UInt8] {
        field.map { SharedField(base + $0).load() }
    }

    /// Frees the slot, and leaves no key behind.
    func erase() {
        state.store(0)
        for word in stride(from: 8, to: Ledger.slotSize, by: 8) { SharedField<UInt64>(base + word).store(0) }
        flags.store(0)
    }
}

/// A number in shared memory, which is only touched by atomic operations. All zeros are a valid one.
///
/// A store that a process has executed outlives it, whatever kills it, so that only the order of the stores matters. Stores
/// are release stores, which keeps the compiler from moving those above them below, and costs nothing on x86.
struct SharedField<Value: AtomicRepresentable & FixedWidthInteger> {
    private let place: UnsafeMutablePointer<Atomic<Value>>

    /// - Parameter place: aligned for the number; `Atomic` has its size and alignment.
    init(_ place: UnsafeMutableRawPointer) { self.place = place.assumingMemoryBound(to: Atomic<Value>.self) }

    func store(_ value: Value) { place.pointee.store(value, ordering: .releasing) }
    func load() -> Value { place.pointee.load(ordering: .acquiring) }
}
