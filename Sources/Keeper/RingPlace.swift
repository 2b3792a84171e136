/// Where a ring is: offset and size in the arena of its loop. Sizes are powers of two, offsets multiples of 4 KiB.
public struct RingPlace: Equatable, Sendable {
    /// Which arena, by its key in escrow; up to 65,535.
    public let arena: EscrowKey
    /// In bytes, up to 2⁵² − 4096.
    public let offset: Int
    /// In bytes.
    public let size: Int

    public init(arena: EscrowKey, offset: Int, size: Int) {
        precondition(arena.value < 1 << 16 && offset >= 0 && offset < 1 << 52 && offset % 4096 == 0)
        precondition(size > 0 && size & (size - 1) == 0)
        self.arena = arena
        self.offset = offset
        self.size = size
    }

    /// Bits 0–7: one more than the logarithm of the size; bits 8–47: the offset in units of 4 KiB; bits 48–63: the arena.
    var packed: UInt64 {
        UInt64(size.trailingZeroBitCount + 1) | UInt64(offset / 4096) << 8 | arena.value << 48
    }

    init?(packed: UInt64) {
        guard packed & 0xff != 0 else { return nil }
        size = 1 << (packed & 0xff - 1)
        offset = Int(packed >> 8 & 0xff_ffff_ffff) * 4096
        arena = EscrowKey(packed >> 48)
    }
}
