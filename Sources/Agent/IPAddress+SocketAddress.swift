import CLinux
import Kernel
import Policy
import Rendezvous
import SystemPackage
import Transport

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

    /// The source that the kernel's routes choose for this destination; nil without a way there. Nothing is sent.
    var naturalSource: SocketAddress.Host? {
        let target = SocketAddress(host: self, port: 9)
        guard let number = try? check(socket(target.family, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
        else {
            return nil
        }
        let probe = TCPSocket(owning: Descriptor(owning: number))
        guard (try? probe.connect(to: target)) != nil else { return nil }
        return (try? probe.localAddress())?.host
    }
}

extension AttemptTiming {
    init(_ limits: AttemptLimits) {
        self.init(
            delay: UInt64(limits.delay / .nanoseconds(1)), budget: UInt64(limits.budget / .nanoseconds(1)),
            atOnce: limits.atOnce)
    }
}

extension Agent {
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
