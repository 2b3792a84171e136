import Engine
import Interception
import Keeper
import Kernel
import SessionHost
import SystemPackage

/// The ports of server programs that their agents have this gateway serve, for as long as those programs live. On the main loop.
final class OfferBook {
    private let listen: [SocketAddress]
    private let escrow: EscrowClient
    private let loop: EventLoop
    private let network = (try? NetworkNamespace.own()) ?? nil
    private var taken: [ObjectIdentifier: TakenOffer] = [:]
    /// Called when one has ended.
    private let ended: () -> Void

    /// - Parameter listen: where agents look for a gateway, if it is there.
    init(_ listen: [SocketAddress], _ escrow: EscrowClient, on loop: EventLoop, ended: @escaping () -> Void) {
        self.listen = listen
        self.escrow = escrow
        self.loop = loop
        self.ended = ended
    }

    var isEmpty: Bool { taken.isEmpty }

    /// An agent offers a port. Its end tells it whether this gateway takes it: one that clients would not find is for another.
    func take(_ descriptor: consuming Descriptor) {
        let channel = OfferChannel(adopting: descriptor)
        guard let offer = channel.offer, offer.network == network, listen.contains(where: offer.isFound) else { return }
        let number = channel.descriptor.number
        let handoff = Handoff(channel)
        escrow.hold(.offer, number) { [self] key in
            if let channel = handoff.take() { adopt(channel, key) }
        }
    }

    /// An offer that is in escrow.
    func adopt(_ channel: consuming OfferChannel, _ key: EscrowKey) {
        guard let offer = channel.offer, let entry = try? TakenOffer(offer, channel, key, of: self, on: loop) else {
            return escrow.release(key)
        }
        taken[ObjectIdentifier(entry)] = entry
        entry.take()
    }

    fileprivate func forget(_ entry: TakenOffer) {
        guard taken.removeValue(forKey: ObjectIdentifier(entry)) != nil else { return }
        escrow.release(entry.key)
        ended()
    }

    /// Where to connect for a destination; nil if nobody offers it. That is this host under the very address that was asked for: by
    /// the loopback addresses a server is reached from this host alone, as without a gateway.
    ///
    /// - Parameters:
    ///   - remote: who asks.
    ///   - ownAddresses: those of this host, fetched only if a server has that port.
    func target(
        for destination: SocketAddress, from remote: SocketAddress, ownAddresses: () -> Set<SocketAddress.Host>
    ) -> SocketAddress? {
        let asked = destination.unmapped
        let isOffered = taken.values.contains {
            $0.offer.address.port == asked.port
                && ($0.offer.address.isWildcard || $0.offer.address.host == asked.host)
        }
        guard isOffered else { return nil }
        if asked.isLoopback { return remote.unmapped.isLoopback ? asked : nil }
        return ownAddresses().contains(asked.host) ? asked : nil
    }
}

/// An offer, with this gateway's end of its channel.
private final class TakenOffer: EventHandler {
    let offer: Offer
    let key: EscrowKey
    private let channel: OfferChannel
    private let loop: EventLoop
    private var registration: Registration?
    private unowned let book: OfferBook

    init(
        _ offer: Offer, _ channel: consuming OfferChannel, _ key: EscrowKey, of book: OfferBook, on loop: EventLoop
    ) throws(Errno) {
        self.offer = offer
        self.channel = channel
        self.key = key
        self.loop = loop
        self.book = book
        registration = try loop.register(self.channel.descriptor.number, self)
    }

    /// Where the agent has gone already, the end of its channel is about to be heard of.
    func take() { try? channel.take(offer) }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard channel.isOver, let registration else { return }
        loop.deregister(registration)
        self.registration = nil
        book.forget(self)
    }
}

extension Offer {
    /// Whether who looks for a gateway of a host that has the offered address finds one that listens there.
    func isFound(at listener: SocketAddress) -> Bool {
        guard listener.port == GatewayPort.standard else { return false }
        return listener.isWildcard || listener.host == address.host || address.isWildcard && !listener.isLoopback
    }
}
