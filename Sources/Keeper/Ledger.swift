import CLinux
import Kernel
import Synchronization
public import SystemPackage

/// What must be known of each session if its process dies, in a memory file that outlives it: the keeper holds the file, and a
/// successor maps it again.
///
/// A session has one slot of 256 bytes. Slots are handed out to any thread; a slot is written by its owner alone. In the place of
/// the first one stand how many have ever been used, so that a successor need not look at all, and the version.
public final class Ledger: Sendable {
    /// Of the layout, and of what its fields mean: a successor of another version cannot go on with it.
    public static let version: UInt64 = 2

    /// Bytes of a slot.
    public static let slotSize = 256

    /// The memory file. For escrow; the ledger keeps it.
    public var memoryFile: Int32 { file.number }
    /// How many sessions there can be.
    public let capacity: Int

    private let file: Descriptor
    // Never changes, and what it points to is only touched by atomic operations.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer
    private let freed: Mutex<[Int]>

    /// An empty ledger. Its memory is taken as slots are used.
    public convenience init(capacity: Int = 1 << 17) throws(Errno) {
        let file = Descriptor(owning: try check(usl_memfd_create("usl-ledger", UInt32(MFD_CLOEXEC))))
        try check(ftruncate(file.number, (1 + capacity) * Self.slotSize))
        try self.init(mapping: file)
        storedVersion.store(Self.version)
    }

    /// The ledger that a dead process has left in a memory file. Slots in use stay in use.
    ///
    /// - Throws: `EPROTONOSUPPORT` if it is of another version.
    public convenience init(adopting file: consuming Descriptor) throws(Errno) {
        try self.init(mapping: file)
        guard storedVersion.load() == Self.version else { throw .protocolNotSupported }
        let unused = slots.filter { !record($0).isInUse }
        freed.withLock { $0 = unused }
    }

    private init(mapping file: consuming Descriptor) throws(Errno) {
        var status = stat()
        try check(fstat(file.number, &status))
        let size = Int(status.st_size)
        let mapping = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file.number, 0)
        guard let mapping, mapping != usl_map_failed() else { throw Errno(rawValue: usl_errno()) }
        base = mapping
        capacity = size / Self.slotSize - 1
        self.file = file
        freed = Mutex([])
        // Resume keys do not belong in a core dump.
        _ = madvise(base, size, MADV_DONTDUMP)
    }

    deinit { munmap(base, (1 + capacity) * Self.slotSize) }

    /// A slot for a new session; nil when all are in use.
    public func allocate() -> LedgerSlot? {
        let index = freed.withLock { freed -> Int? in
            if let index = freed.popLast() { return index }
            let index = slots.upperBound
            guard index < capacity else { return nil }
            usedCount.store(UInt64(index + 1))
            return index
        }
        return index.map { LedgerSlot(ledger: self, index: $0) }
    }

    /// The slots that are in use, as a successor finds them.
    public var slotsInUse: [Int] { slots.filter { record($0).isInUse } }

    /// What a slot says, to be read before it is adopted.
    public func snapshot(_ index: Int) -> LedgerSnapshot? { LedgerSnapshot(record(index)) }

    /// Takes over a slot that a dead process has left.
    public func adopt(_ index: Int) -> LedgerSlot { LedgerSlot(ledger: self, index: index) }

    func free(_ index: Int) {
        record(index).erase()
        freed.withLock { $0.append(index) }
    }

    func record(_ index: Int) -> LedgerRecord {
        precondition(index < capacity, "no such slot")
        return LedgerRecord(base: base + (1 + index) * Self.slotSize)
    }

    private var slots: Range<Int> { 0..<min(Int(clamping: usedCount.load()), capacity) }

    private var usedCount: SharedWord { SharedWord(base) }
    private var storedVersion: SharedWord { SharedWord(base + 8) }
}
