import COpenSSL

/// Sole owner of secret bytes: they stay in one place in memory, and are overwritten when the owner ends.
public struct SecretBytes: ~Copyable, @unchecked Sendable {
    // Sendable although it holds a pointer: nobody else has it, and the bytes never change after `init`.
    private let memory: UnsafeMutableRawBufferPointer

    /// Bytes that `fill` writes; all of them are zero before.
    public init<Failure: Error>(
        count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        memory = .allocate(byteCount: count, alignment: 8)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        // `self` is complete here: if this throws, `deinit` runs.
        try fill(memory)
    }

    deinit {
        OPENSSL_cleanse(memory.baseAddress, memory.count)
        memory.deallocate()
    }

    /// Lends the bytes.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(memory))
    }
}
