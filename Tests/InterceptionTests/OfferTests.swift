import CLinux
import Kernel
import Testing

@testable import Interception

@Suite struct OfferTests {
    private static let offer = Offer(
        SocketAddress(host: .v6(high: 0, low: 0, scope: 0), port: 1337), in: NetworkNamespace(cookie: 77))

    private func expect(
        _ channel: borrowing OfferChannel, offers offer: Offer? = Self.offer, isTaken: Bool = false,
        isOver: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let found = (channel.offer, channel.isTaken, channel.isOver)
        #expect(found == (offer, isTaken, isOver), sourceLocation: sourceLocation)
    }

    @Test func bothEndsKnowWhatIsOffered() throws {
        var other: OfferChannel?
        let mine = try OfferChannel.make(for: Self.offer, gateway: &other)
        let theirs = try unwrap(other.take())
        for _ in 0..<2 {
            expect(mine)
            expect(theirs)
        }
        // A successor says it once more.
        for _ in 0..<2 {
            try theirs.take(Self.offer)
            expect(mine, isTaken: true)
        }
    }

    @Test func anOfferLastsAsLongAsAnyHolder() throws {
        var other: OfferChannel?
        let mine = try OfferChannel.make(for: Self.offer, gateway: &other)
        let theirs = try unwrap(other.take())
        let kept = OfferChannel(adopting: try mine.descriptor.duplicate())
        _ = consume mine
        expect(theirs)
        expect(kept)
        _ = consume kept
        expect(theirs, isOver: true)
    }

    @Test func theAgentSeesTheGatewayGo() throws {
        var other: OfferChannel?
        let mine = try OfferChannel.make(for: Self.offer, gateway: &other)
        other = nil
        expect(mine, isOver: true)
    }

    @Test func somethingElseIsNoOffer() throws {
        let pair = try SocketPair(nonBlocking: true)
        expect(OfferChannel(adopting: try pair.first.duplicate()), offers: nil)
        try DescriptorPassing.send([UInt8](repeating: 1, count: ControlMessage.size), over: pair.second.number)
        expect(OfferChannel(adopting: try pair.first.duplicate()), offers: nil)
    }

    @Test func mappedAddressesAreIPv4() throws {
        let mapped = try #require(SocketAddress("[::ffff:10.0.0.1]:80"))
        #expect(Offer(mapped, in: nil).address.description == "10.0.0.1:80")
    }
}
