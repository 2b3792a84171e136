import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Keeper

@Suite("SupervisorChannel")
struct SupervisorChannelTests {
    private func copy(of number: Int32, in process: pid_t) throws -> Descriptor {
        try asking { (channel) throws(Errno) in try channel.copy(of: number, in: process) }
    }

    /// Answers one question on a thread of its own, as the keeper does in another process.
    private func asking<Answer: ~Copyable>(
        _ ask: (borrowing SupervisorChannel) throws(Errno) -> Answer
    ) throws -> Answer {
        let ends = try SocketPair(nonBlocking: false)
        let keeper = SupervisorChannel(owning: try ends.second.duplicate())
        let asking = SupervisorChannel(owning: ends.keepFirst())
        let thread = try startThread(name: "keeper") { _ = keeper.serve() }
        defer { pthread_join(thread, nil) }
        return try ask(asking)
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

    @Test("reads and writes a process's memory, all of what is asked for or nothing")
    func memory() throws {
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16)
        defer { room.deallocate() }
        for index in room.indices { room[index] = UInt8(index) }
        let address = UInt64(UInt(bitPattern: room.baseAddress))
        #expect(
            try asking { (channel) throws(Errno) in try channel.read(4, at: address + 2, of: getpid()) } == [
                2, 3, 4, 5,
            ])
        try asking { (channel) throws(Errno) in try channel.write([9, 8], at: address + 1, of: getpid()) }
        #expect(Array(room.prefix(4)) == [0, 9, 8, 3])
        #expect(throws: Errno.badAddress) {
            _ = try asking { (channel) throws(Errno) in try channel.read(4, at: 1, of: getpid()) }
        }
        #expect(throws: Errno.invalidArgument) {
            _ = try asking { (channel) throws(Errno) in
                try channel.read(SupervisorChannel.memoryLimit + 1, at: address, of: getpid())
            }
        }
    }

    @Test("sees that its supervisor has gone")
    func end() throws {
        let ends = try SocketPair(nonBlocking: false)
        let keeper = SupervisorChannel(owning: ends.keepSecond())
        let isServed = keeper.serve()
        #expect(!isServed)
    }
}
