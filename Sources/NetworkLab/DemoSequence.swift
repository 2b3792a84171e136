/// The bytes that both sides expect: chance from a known seed, so that a byte that is lost, doubled or moved changes what
/// follows.
struct DemoSequence {
    private var words: LabChance

    init(seed: UInt64 = 0) { words = LabChance(seed: seed) }

    /// The next bytes. Only the last call may ask for a number that is not a multiple of 8.
    mutating func next(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count + 7) { buffer, initialized in
            let bytes = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: count, by: 8) {
                bytes.storeBytes(of: words.next().littleEndian, toByteOffset: offset, as: UInt64.self)
            }
            initialized = count
        }
    }
}
