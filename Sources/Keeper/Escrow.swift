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
    /// Where copies of everything are; nil: nowhere.
    var manager: ServiceManager?

    public init() {}

    deinit { for entry in entries.values { _ = close(entry.descriptor) } }

    public var isEmpty: Bool { entries.isEmpty }

    public func count(of kind: EscrowKind) -> Int { entries.values.count { $0.kind == kind } }

    /// All keys in use.
    var keys: Set<EscrowKey> { Set(entries.keys) }

    /// What is held of a kind, in the order of the keys.
    public func keys(of kind: EscrowKind) -> [EscrowKey] {
        entries.filter { $0.value.kind == kind }.keys.sorted { $0.value < $1.value }
    }

    /// What is held under a key; nil if nothing is.
    public func kind(of key: EscrowKey) -> EscrowKind? { entries[key]?.kind }

    /// The largest key that a worker has used; its successor's own are above. 0 if there is none.
    public var largestKey: UInt64 { entries.keys.map(\.value).filter { $0 < Self.keeperKeys }.max() ?? 0 }

    /// Holds what the keeper itself has made, under a key that no worker uses.
    public mutating func hold(own kind: EscrowKind, _ descriptor: consuming Descriptor) {
        let last = entries.keys.map(\.value).max() ?? 0
        hold(EscrowKey(max(last, Self.keeperKeys) + 1), kind, descriptor)
    }

    /// Keys from here on are the keeper's own.
    private static let keeperKeys: UInt64 = 1 << 63

    /// Gives a descriptor away; nil if nothing is held under the key.
    public mutating func take(_ key: EscrowKey) -> Descriptor? {
        entries.removeValue(forKey: key).map { Descriptor(owning: $0.descriptor) }
    }

    /// Gives everything away.
    mutating func takeAll() -> Escrow {
        let all = Escrow(entries)
        entries = [:]
        return all
    }

    private init(_ entries: [EscrowKey: Entry]) { self.entries = entries }

    /// Takes over what another program has left in this process; see `KeeperLegacy`.
    init(adopting list: [Item]) {
        for item in list { entries[item.key] = Entry(kind: item.kind, descriptor: item.descriptor) }
    }

    struct Item: Equatable {
        let key: EscrowKey
        let kind: EscrowKind
        let descriptor: Int32
    }

    var items: [Item] { entries.map { Item(key: $0.key, kind: $0.value.kind, descriptor: $0.value.descriptor) } }

    /// Lends the kernel's numbers of what is held of a kind.
    public func forEach(_ kind: EscrowKind, _ body: (EscrowKey, Int32) -> Void) {
        for key in keys(of: kind) {
            if let entry = entries[key] { body(key, entry.descriptor) }
        }
    }

    /// The kernel's numbers of all that is held.
    var numbers: [Int32] { entries.values.map(\.descriptor) }

    /// Takes a descriptor over. One that was held under the same key is closed.
    public mutating func hold(_ key: EscrowKey, _ kind: EscrowKind, _ descriptor: consuming Descriptor) {
        let number = descriptor.release()
        let old = entries.updateValue(Entry(kind: kind, descriptor: number), forKey: key)
        if let old {
            manager?.remove(key, old.kind)
            _ = close(old.descriptor)
        }
        manager?.store(key, kind, number)
    }

    /// Closes what is held under `key`; nothing may be.
    public mutating func release(_ key: EscrowKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        manager?.remove(key, entry.kind)
        _ = close(entry.descriptor)
    }

    /// From now on, copies of everything are with the service manager, if there is one. It has those that came from it.
    mutating func mirror(besides fromManager: Set<EscrowKey>) {
        manager = ServiceManager.connect()
        for (key, entry) in entries where !fromManager.contains(key) {
            manager?.store(key, entry.kind, entry.descriptor)
        }
    }

    /// Closes everything. Legs were born with `SO_LINGER {1, 0}` and nobody else holds them: they are reset.
    public mutating func releaseAll() {
        for (key, entry) in entries {
            manager?.remove(key, entry.kind)
            _ = close(entry.descriptor)
        }
        entries = [:]
    }
}
