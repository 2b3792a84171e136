import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Keeper

@Suite("SupervisorChannel")
struct SupervisorChannelTests {
    /// Answers one question on a thread of its own, as the keeper does in another process.
    private func copy(of number: Int32, in process: pid_t) throws -> Descriptor {
        let ends = try SocketPair(nonBlocking: false)
        let keeper = SupervisorChannel(owning: try ends.second.duplicate())
        let asking = SupervisorChannel(owning: ends.keepFirst())
        let thread = try startThread(name: "keeper") { _ = keeper.serve() }
        defer { pthread_join(thread, nil) }
        return try asking.copy(of: number, in: process)
    }

    @Test("brings a copy of a process's descriptor")
    func copies() throws {
        let pair = try SocketPair(nonBlocking: true)
        let copy = try copy(of: pair.first.number, in: getpid())
        #expect(copy.number != pair.first.number)
        try DescriptorPassing.send([1, 2, 3], over: copy.number)
        #expect(try DescriptorPassing.receive(capacity: 8, over: pair.second.number)?.bytes == [1, 2, 3])
    }

    @Test("tells why there is none")
    func failures() throws {
        #expect(throws: Errno.badFileDescriptor) { _ = try copy(of: 1_000_000, in: getpid()) }
        #expect(throws: Errno.self) { _ = try copy(of: 0, in: 0) }
    }

    @Test("sees that its supervisor has gone")
    func end() throws {
        let ends = try SocketPair(nonBlocking: false)
        let keeper = SupervisorChannel(owning: ends.keepSecond())
        let isServed = keeper.serve()
        #expect(!isServed)
    }
}
