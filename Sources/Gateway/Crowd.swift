import Kernel

/// Who has proven nothing yet, by where they come from, so that whoever takes the most room gives some back first.
struct Crowd<Member: AnyObject> {
    private struct Place {
        let member: Member
        let group: AddressGroup
    }

    private var places: [ObjectIdentifier: Place] = [:]
    private var groups: [AddressGroup: AgeQueue<ObjectIdentifier>] = [:]
    /// The groups of each size, by how long they have had it; no queue is empty.
    private var sizes: [Int: AgeQueue<AddressGroup>] = [:]
    private var largest = 0

    var count: Int { places.count }

    func contains(_ member: Member) -> Bool { places[ObjectIdentifier(member)] != nil }

    func count(of address: SocketAddress) -> Int { groups[AddressGroup(address)]?.count ?? 0 }

    mutating func add(_ member: Member, from address: SocketAddress) {
        let (id, group) = (ObjectIdentifier(member), AddressGroup(address))
        places[id] = Place(member: member, group: group)
        let size = groups[group]?.count ?? 0
        groups[group, default: AgeQueue()].append(id)
        resize(group, from: size, to: size + 1)
    }

    /// Nothing happens if it is not here.
    mutating func remove(_ member: Member) {
        let id = ObjectIdentifier(member)
        guard let group = places.removeValue(forKey: id)?.group, let size = groups[group]?.count else { return }
        groups[group]?.remove(id)
        if size == 1 { groups[group] = nil }
        resize(group, from: size, to: size - 1)
    }

    /// The one of this address that has been here longest.
    func oldest(from address: SocketAddress) -> Member? { oldest(of: AddressGroup(address)) }

    /// The one that has been here longest, of the address that has the most; of several, the one that has had as many for
    /// the longest time.
    var oldestOfLargest: Member? { sizes[largest]?.oldest.flatMap { oldest(of: $0) } }

    private func oldest(of group: AddressGroup) -> Member? { groups[group]?.oldest.flatMap { places[$0]?.member } }

    private mutating func resize(_ group: AddressGroup, from old: Int, to new: Int) {
        if old > 0 {
            sizes[old]?.remove(group)
            if sizes[old]?.isEmpty == true { sizes[old] = nil }
        }
        if new > 0 { sizes[new, default: AgeQueue()].append(group) }
        // A size changes by one.
        largest = max(largest, new)
        if sizes[largest] == nil { largest -= 1 }
    }
}
