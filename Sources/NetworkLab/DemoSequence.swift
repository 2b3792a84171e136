/// The bytes that both sides expect: SplitMix64 over the number of each 8-byte word, so that a byte that is lost, doubled
/// or moved changes what follows.
struct DemoSequence {
    private var word: UInt64 = 0

    /// The next bytes. Only the last call may ask for a number that is not a multiple of 8.
    mutating func next(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count + 7) { buffer, initialized in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: count, by: 8) {
                word &+= 0x9e37_79b9_7f4a_7c15
                var mixed = word
                mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
                mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
                mixed ^= mixed >> 31
                bytes.storeBytes(of: mixed.littleEndian, toByteOffset: offset, as: UInt64.self)
            }
            initialized = count
        }
    }
}
