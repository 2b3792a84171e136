import Kernel
import Policy
import Rendezvous

extension IPAddress {
    /// Never an IPv4-mapped one.
    init(_ host: SocketAddress.Host) {
        switch host.unmapped {
        case .v4(let address): self = .v4(address)
        case .v6(let high, let low, let scope): self = .v6(high: high, low: low, scope: scope)
        }
    }
}

extension SocketAddress.Host {
    init(_ address: IPAddress) {
        switch address {
        case .v4(let address): self = .v4(address)
        case .v6(let high, let low, let scope): self = .v6(high: high, low: low, scope: scope)
        }
    }
}

extension AttemptTiming {
    init(_ limits: AttemptLimits) {
        self.init(
            delay: UInt64(limits.delay / .nanoseconds(1)), budget: UInt64(limits.budget / .nanoseconds(1)),
            atOnce: limits.atOnce)
    }
}

extension AddressSelection {
    /// With what the kernel would do with each destination.
    init(from locals: [LocalAddress], to destinations: [IPAddress], port: UInt16) {
        var routes: [IPAddress: Route] = [:]
        for destination in destinations {
            let place = SocketAddress(host: SocketAddress.Host(destination), port: port)
            routes[destination] = (try? place.naturalSource()).map { .from(IPAddress($0.host)) } ?? Route.none
        }
        self.init(locals: locals, routes: routes)
    }
}

extension Agent {
    /// Whether this is an address of this machine, as far as the kernel tells of them: to it there is one way only.
    func isHere(_ destination: SocketAddress) -> Bool {
        let address = IPAddress(destination.unmapped.host)
        return localAddresses.contains { $0.address == address }
    }

    /// Addresses of this machine from which packets can leave; none known where the kernel does not tell of them.
    var localAddresses: [LocalAddress] {
        guard let state = watch?.state else { return [] }
        return state.usableSources.map {
            LocalAddress(
                address: IPAddress($0.host), prefixLength: Int($0.traits.prefixLength), interface: $0.interface,
                isDeprecated: $0.traits.isDeprecated, isTemporary: $0.traits.isTemporary)
        }
    }
}
