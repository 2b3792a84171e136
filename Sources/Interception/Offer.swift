import CLinux
public import Kernel
public import SystemPackage

/// A server program's port, which its agent has a gateway serve.
public struct Offer: Equatable, Sendable {
    /// Where the program listens; never IPv4-mapped.
    public let address: SocketAddress
    /// Where that is: a gateway of another network reaches another server under the same address.
    public let network: NetworkNamespace?

    public init(_ address: SocketAddress, in network: NetworkNamespace?) {
        self.address = address.unmapped
        self.network = network
    }

    fileprivate init?(_ bytes: [UInt8]) {
        guard case .offer(let address, let cookie)? = ControlRequest(bytes.span) else { return nil }
        guard let address = SocketAddress(address) else { return nil }
        self.init(address, in: cookie == 0 ? nil : NetworkNamespace(cookie: cookie))
    }

    /// How an agent says it to a gateway.
    public var request: ControlRequest { .offer(of: AddressBytes(address), network: network?.cookie ?? 0) }
}

/// One end of the pair of sockets that stands for an offer: the agent has one and the gateway the other, each with a copy in the
/// escrow of its keeper. Who has either end can read what is offered without taking it out, and so can every successor. The offer
/// ends, and the gateway's service with it, when the other end is closed by all that hold it.
public struct OfferChannel: ~Copyable, Sendable {
    public let descriptor: Descriptor

    /// The descriptor under which a gateway that is started for offers finds its end of the first.
    public static let inheritedNumber: Int32 = 3

    /// What a keeper had.
    public init(adopting descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Makes the pair; returns the agent's end, and puts the gateway's into `gateway`.
    public static func make(for offer: Offer, gateway: inout OfferChannel?) throws(Errno) -> OfferChannel {
        var ends: [Int32] = [-1, -1]
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        try check(socketpair(AF_UNIX, Int32(type), 0, &ends))
        let mine = OfferChannel(adopting: Descriptor(owning: ends[0]))
        gateway = OfferChannel(adopting: Descriptor(owning: ends[1]))
        for end in ends { try DescriptorPassing.send(Self.bytes(offer.request.encoded()), over: end) }
        return mine
    }

    /// What is offered; nil if this is no such channel.
    public var offer: Offer? {
        let bytes = peek()
        return bytes.count >= ControlMessage.size ? Offer(Array(bytes[..<ControlMessage.size])) : nil
    }

    /// Whether the other end has taken the offer.
    public var isTaken: Bool { peek().count >= 2 * ControlMessage.size }

    /// Whether nobody holds the other end any more.
    public var isOver: Bool {
        var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0 && Int32(entry.revents) & (POLLHUP | POLLERR) != 0
    }

    /// Says that the offer is taken, once however often it is said.
    public func take(_ offer: Offer) throws(Errno) {
        try DescriptorPassing.send(Self.bytes(offer.request.encoded()), over: descriptor.number)
    }

    private func peek() -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 2 * ControlMessage.size) { room, count in
            count = max(0, recv(descriptor.number, room.baseAddress, room.count, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT)))
        }
    }

    private static func bytes(_ message: ControlMessage.Bytes) -> [UInt8] { message.indices.map { message[$0] } }
}
