import CLinux
import Engine
import Keeper
import Kernel
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Escrow client")
struct EscrowClientTests {
    @Test("what a keeper that does not read cannot take waits, and goes out in order")
    func backPressure() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let pair = try SocketPair(nonBlocking: true)
        let client = try EscrowClient(EscrowChannel(owning: pair.first.duplicate()), on: loop) { _ in }
        let held = try SocketPair(nonBlocking: true)
        var safe: [UInt64] = []
        let count = 2_000
        var keys: [EscrowKey] = []
        for _ in 0..<count { keys.append(client.hold(.leg, held.first.number) { safe.append($0.value) }) }
        client.release(keys[0])
        #expect(Set(keys).count == count)
        #expect(!safe.isEmpty && safe.count < count, "the kernel's queue is bounded")

        // The keeper reads again, slowly.
        var messages: [[UInt8]] = []
        var descriptors = 0
        let end = ContinuousClock.now + .seconds(20)
        while messages.count < count + 1, ContinuousClock.now < end {
            for _ in 0..<50 {
                guard let message = try? DescriptorPassing.receive(capacity: 512, over: pair.second.number) else {
                    break
                }
                messages.append(message.bytes)
                if message.descriptor != nil { descriptors += 1 }
            }
            loop.mailbox.post { _ in }
            loop.turn()
        }
        #expect(safe == keys.map(\.value))
        #expect(descriptors == count)
        // The release came last: a hold behind it would never end.
        #expect(messages.last?.count ?? 0 < messages.first?.count ?? 0)
        #expect(messages.count == count + 1)
    }

    @Test("when the keeper has died, nobody waits for it")
    func deadKeeper() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let pair = try SocketPair(nonBlocking: true)
        let held = try SocketPair(nonBlocking: true)
        var heard: [KeeperMessage?] = []
        let client = try EscrowClient(EscrowChannel(owning: pair.keepFirst()), on: loop) { heard.append($0) }
        var safe = 0
        for _ in 0..<10 { client.hold(.leg, held.first.number) { _ in safe += 1 } }
        #expect(safe == 10)
        loop.mailbox.post { _ in }
        loop.turn()
        #expect(heard == [nil])
    }

    @Test("who asks for more while being told gets it, in order")
    func reentrant() throws {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let pair = try SocketPair(nonBlocking: true)
        let client = try EscrowClient(EscrowChannel(owning: pair.first.duplicate()), on: loop) { _ in }
        let held = try SocketPair(nonBlocking: true)
        var order: [UInt64] = []
        client.hold(.leg, held.first.number) { first in
            order.append(first.value)
            client.hold(.leg, held.first.number) { order.append($0.value) }
            client.release(first)
        }
        #expect(order.count == 2 && order[1] == order[0] + 1)
        var messages = 0
        while (try? DescriptorPassing.receive(capacity: 512, over: pair.second.number)) != nil { messages += 1 }
        #expect(messages == 3)
    }
}
