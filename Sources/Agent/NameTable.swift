import Interception
import Kernel
import SessionProtocol

/// Which names have which addresses, as the application's own resolver has told it. Bounded in time and number.
struct NameTable {
    typealias Host = SocketAddress.Host

    /// How long an answer is remembered: programs resolve once and reconnect much later, and the answers that the preload
    /// library sees carry no lifetime of their own.
    static let lifetime = Interval.hours(1)
    /// Addresses of all names together; beyond, the name that was resolved longest ago is forgotten.
    static let maximumAddresses = 4096
    static let maximumNames = 1024

    private struct Entry {
        let addresses: [(host: Host, since: Instant)]
        /// Grows from one answer to the next.
        let order: UInt64
    }

    private var entries: [String: Entry] = [:]
    /// The names of an address.
    private var owners: [Host: Set<String>] = [:]
    private var addressCount = 0
    private var lastOrder: UInt64 = 0

    /// Remembers an answer. It takes the place of what was known of the name, but for addresses of a family that it has none of:
    /// programs ask for families one by one.
    mutating func note(_ resolved: ResolvedName, now: Instant) {
        guard !resolved.addresses.isEmpty else { return }
        let families = Set(resolved.addresses.map(\.family))
        let kept = addresses(ofEntry: resolved.name, now: now).filter { !families.contains($0.host.family) }
        forget(resolved.name)
        lastOrder += 1
        let all = resolved.addresses.map { (host: $0, since: now) } + kept
        entries[resolved.name] = Entry(addresses: all, order: lastOrder)
        for (host, _) in all { owners[host, default: []].insert(resolved.name) }
        addressCount += all.count
        while addressCount > Self.maximumAddresses || entries.count > Self.maximumNames { forgetOldest() }
    }

    /// The names that were resolved to an address, the latest first.
    func names(of host: Host, now: Instant) -> [String] {
        let names = (owners[host] ?? []).filter { name in
            addresses(ofEntry: name, now: now).contains { $0.host == host }
        }
        return names.sorted { (entries[$0]?.order ?? 0) > (entries[$1]?.order ?? 0) }
    }

    /// The other addresses of the name that an address was found under, in the resolver's order. Of several names it is not known
    /// which one the application means, and they can be those of different servers behind a shared front: so only what is an
    /// address of them all.
    func addresses(sharingNameWith host: Host, now: Instant) -> [Host] {
        let names = names(of: host, now: now)
        guard let first = names.first else { return [] }
        let shared = names.dropFirst().reduce(into: addresses(ofEntry: first, now: now).map(\.host)) { shared, name in
            let others = Set(addresses(ofEntry: name, now: now).map(\.host))
            shared.removeAll { !others.contains($0) }
        }
        return shared.filter { $0 != host }
    }

    private func addresses(ofEntry name: String, now: Instant) -> [(host: Host, since: Instant)] {
        (entries[name]?.addresses ?? []).filter { now - $0.since < Self.lifetime }
    }

    private mutating func forgetOldest() {
        guard let oldest = entries.min(by: { $0.value.order < $1.value.order }) else { return }
        forget(oldest.key)
    }

    private mutating func forget(_ name: String) {
        guard let entry = entries.removeValue(forKey: name) else { return }
        addressCount -= entry.addresses.count
        for (host, _) in entry.addresses {
            owners[host]?.remove(name)
            if owners[host]?.isEmpty == true { owners[host] = nil }
        }
    }
}
