import Kernel
import Rendezvous

/// A gateway that a front has named, without proof of anything.
struct GatewayClaim: Equatable {
    let address: SocketAddress
    let isTLS: Bool

    /// nil for an address that a front has no business to name: one that is nearer to this end than the front itself, this host's
    /// own loopback first of all, or no host's.
    init?(_ gateway: EnhancementAnswer.Gateway, by front: SocketAddress) {
        isTLS = gateway.isTLS
        guard let text = gateway.address else {
            address = front.with(port: gateway.port)
            return
        }
        guard let host = SocketAddress.Host(numeric: text),
            AddressReach.allows(host, inPlaceOf: front.host, allowsPrivate: false)
        else { return nil }
        address = SocketAddress(host: host, port: gateway.port).unmapped
    }
}
