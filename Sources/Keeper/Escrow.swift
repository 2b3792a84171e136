import CLinux
public import Kernel

/// The descriptors that a keeper holds for its worker, so that what they stand for outlives it.
public struct Escrow: ~Copyable {
    private struct Entry {
        let kind: EscrowKind
        /// Owned by the escrow; a `Descriptor` cannot be a dictionary's value.
        let descriptor: Int32
    }

    private var entries: [EscrowKey: Entry] = [:]

    public init() {}

    deinit { for entry in entries.values { _ = close(entry.descriptor) } }

    public var isEmpty: Bool { entries.isEmpty }

    public func count(of kind: EscrowKind) -> Int { entries.values.count { $0.kind == kind } }

    /// Takes a descriptor over. One that was held under the same key is closed.
    public mutating func hold(_ key: EscrowKey, _ kind: EscrowKind, _ descriptor: consuming Descriptor) {
        let old = entries.updateValue(Entry(kind: kind, descriptor: descriptor.release()), forKey: key)
        if let old { _ = close(old.descriptor) }
    }

    /// Closes what is held under `key`; nothing may be.
    public mutating func release(_ key: EscrowKey) {
        if let entry = entries.removeValue(forKey: key) { _ = close(entry.descriptor) }
    }

    /// Closes everything. Legs were born with `SO_LINGER {1, 0}` and nobody else holds them: they are reset.
    public mutating func releaseAll() {
        for entry in entries.values { _ = close(entry.descriptor) }
        entries = [:]
    }
}
