import Engine
import Interception
import Kernel
import Policy

/// Finds other addresses for a destination: those that policy gives, those of the name that the application has resolved, else
/// those of the reverse name. On the main loop.
final class AlternateAddresses {
    typealias Host = SocketAddress.Host

    private let loop: EventLoop
    private let resolver: Resolver
    private var table = NameTable()

    init(_ resolver: Resolver, on loop: EventLoop) {
        self.resolver = resolver
        self.loop = loop
    }

    /// An application has resolved a name.
    func note(_ resolved: ResolvedName) { table.note(resolved, now: loop.now) }

    /// The names that applications have resolved to an address, the latest first.
    func names(of host: Host) -> [String] { table.names(of: host.unmapped, now: loop.now) }

    /// Calls `found` with addresses as they are learnt, none twice and never the asked one, and then `done`, all on the main
    /// loop. What is known is found, and if that is all, done, before this returns; the reverse name takes up to ``Resolver/limit``.
    /// It is asked for only if no application has resolved a name to the address.
    ///
    /// - Parameters:
    ///   - extra: addresses that policy gives: used whatever they are.
    ///   - allowsPrivate: whether names may lead to this machine and to private and link-local addresses, where the asked
    ///     address is none (``AddressReach``).
    func find(
        for asked: SocketAddress, extra: [Host], reverse: ReverseLookup, allowsPrivate: Bool,
        found: @escaping ([Host]) -> Void, done: @escaping () -> Void
    ) {
        let host = asked.host.unmapped
        var known: Set<Host> = [host]
        func tell(_ hosts: [Host]) {
            let new = hosts.filter { known.insert($0).inserted }
            if !new.isEmpty { found(new) }
        }
        func allowed(_ hosts: [Host]) -> [Host] {
            hosts.filter { AddressReach.allows($0, inPlaceOf: host, allowsPrivate: allowsPrivate) }
        }
        let named = table.addresses(sharingNameWith: host, now: loop.now)
        tell(extra + allowed(named))
        guard table.names(of: host, now: loop.now).isEmpty, Self.hasReverseName(host) else { return done() }
        resolver.reverse(host, reverse) { hosts in
            tell(allowed(hosts))
            done()
        }
    }

    /// What is on this machine or this link has no name that leads further.
    private static func hasReverseName(_ host: Host) -> Bool {
        let address = SocketAddress(host: host, port: 0)
        return AddressReach(host) != nil && !address.isLoopback && !address.isLinkLocal
    }
}
