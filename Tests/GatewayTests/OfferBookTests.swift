import CLinux
import Interception
import Kernel
import SessionHost
import SystemPackage
import Testing
import Transport

@testable import Engine
@testable import Gateway
@testable import Keeper

@Suite("Offers at a gateway")
struct OfferBookTests {
    /// A book, and a keeper in the test's hands.
    private final class Setting {
        let loop: EventLoop
        let book: OfferBook
        private let keeper: Descriptor
        private let count: Counter

        final class Counter { var ended = 0 }

        var ended: Int { count.ended }

        init(listen: [String] = ["0.0.0.0:7117", "[::]:7117"]) throws {
            loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
            let pair = try SocketPair(nonBlocking: true)
            let escrow = try EscrowClient(EscrowChannel(owning: try pair.first.duplicate()), on: loop) { _ in }
            keeper = pair.keepSecond()
            let count = Counter()
            self.count = count
            book = OfferBook(try listen.map { try #require(SocketAddress($0)) }, escrow, on: loop) { count.ended += 1 }
        }

        /// What the keeper has been told: how many descriptors are held now.
        func held() -> Int {
            while let message = try? DescriptorPassing.receive(capacity: 512, over: keeper.number) {
                switch WorkerMessage(message.bytes) {
                case .hold(let key, .offer): keys.insert(key)
                case .release(let key): keys.remove(key)
                case .hold, .report, .replace, nil: break
                }
            }
            return keys.count
        }
        private var keys: Set<EscrowKey> = []

        /// An agent offers an address; its end of the channel.
        func offer(_ address: String, network: NetworkNamespace?? = nil) throws -> OfferChannel {
            let here = try network ?? NetworkNamespace.own()
            var other: OfferChannel?
            let mine = try OfferChannel.make(
                for: Offer(try #require(SocketAddress(address)), in: here), gateway: &other)
            guard let theirs = other.take() else { throw Errno.badFileDescriptor }
            book.take(try theirs.descriptor.duplicate())
            return mine
        }

        func target(_ asked: String, from remote: String = "192.0.2.1:5", own: String = "192.0.2.7") -> String? {
            guard let asked = SocketAddress(asked), let remote = SocketAddress(remote),
                let own = SocketAddress.Host(numeric: own)
            else { return nil }
            return book.target(for: asked, from: remote, ownAddresses: { [own] })?.description
        }
    }

    @Test("what is offered is reached under this host's own addresses, and nothing else is")
    func targets() throws {
        let setting = try Setting()
        let offer = try setting.offer("[::]:1337")
        let seen = offer.state
        #expect(seen.isTaken && !setting.book.isEmpty && setting.held() == 1)
        #expect(setting.target("192.0.2.7:1337") == "192.0.2.7:1337")
        #expect(setting.target("[::ffff:192.0.2.7]:1337") == "192.0.2.7:1337")
        #expect(setting.target("192.0.2.7:1338") == nil)
        #expect(setting.target("192.0.2.8:1337") == nil, "another host")
        #expect(setting.target("127.0.0.1:1337") == nil, "loopback, from another host")
        #expect(setting.target("127.0.0.1:1337", from: "127.0.0.1:5") == "127.0.0.1:1337")
    }

    @Test("one address is that address alone")
    func oneAddress() throws {
        let setting = try Setting()
        let offer = try setting.offer("192.0.2.7:1337")
        let seen = offer.state
        #expect(seen.isTaken && setting.target("192.0.2.7:1337") == "192.0.2.7:1337")
        #expect(setting.target("192.0.2.9:1337", own: "192.0.2.9") == nil)
        #expect(setting.target("127.0.0.1:1337", from: "127.0.0.1:5") == nil)
    }

    @Test("an offer ends with the last holder of the other end, and is out of escrow then")
    func ends() throws {
        let setting = try Setting()
        let first = try setting.offer("0.0.0.0:1337")
        let second = try setting.offer("0.0.0.0:1337")
        #expect(setting.held() == 2)
        _ = consume first
        try turn(setting.loop) { setting.ended == 1 }
        #expect(setting.held() == 1 && setting.target("192.0.2.7:1337") != nil)
        _ = consume second
        try turn(setting.loop) { setting.ended == 2 }
        #expect(setting.held() == 0 && setting.book.isEmpty && setting.target("192.0.2.7:1337") == nil)
    }

    @Test("what is offered elsewhere, or what nobody would find here, is another gateway's")
    func notTaken() throws {
        let setting = try Setting(listen: ["127.0.0.1:7117", "0.0.0.0:7118", "192.0.2.7:7117"])
        for (address, isTaken) in [
            ("0.0.0.0:1337", true), ("192.0.2.7:1337", true), ("192.0.2.8:1337", false),
        ] {
            let offer = try setting.offer(address)
            let seen = offer.state
            #expect(seen.isTaken == isTaken && seen.isOver == !isTaken, "\(address)")
        }
        let elsewhere = try setting.offer("0.0.0.0:1337", network: .some(nil))
        let seen = elsewhere.state
        #expect(!seen.isTaken && seen.isOver)
        let loopback = try Setting(listen: ["127.0.0.1:7117"])
        let taken = try loopback.offer("0.0.0.0:1337").isTaken; #expect(!taken)
    }

    @Test("a worker's successor goes on with what is in escrow")
    func successor() throws {
        let setting = try Setting()
        var other: OfferChannel?
        let mine = try OfferChannel.make(
            for: Offer(try #require(SocketAddress("0.0.0.0:1337")), in: nil), gateway: &other)
        guard let theirs = other.take() else { throw Errno.badFileDescriptor }
        setting.book.adopt(theirs, EscrowKey(9))
        let seen = mine.state
        #expect(seen.isTaken && setting.target("192.0.2.7:1337") != nil)
        _ = consume mine
        try turn(setting.loop) { setting.ended == 1 }
        #expect(setting.book.isEmpty)
    }

    /// Turns the loop until the condition holds, at most 10 s.
    private func turn(_ loop: EventLoop, until condition: () -> Bool) throws {
        let end = ContinuousClock.now + .seconds(10)
        while !condition() {
            try #require(ContinuousClock.now < end, "did not come to pass")
            loop.turn()
        }
    }
}

/// What a channel says, as a value.
struct OfferState {
    let isTaken: Bool
    let isOver: Bool
}

extension OfferChannel {
    var state: OfferState { OfferState(isTaken: isTaken, isOver: isOver) }
}
