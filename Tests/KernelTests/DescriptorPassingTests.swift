import CLinux
import Kernel
import SystemPackage
import Testing

@Suite("Message sockets")
struct DescriptorPassingTests {
    @Test("messages keep their boundaries, and a descriptor arrives with its message")
    func passes() throws {
        let pair = try SocketPair(nonBlocking: true)
        let file = Descriptor(owning: try check(usl_memfd_create("test", UInt32(MFD_CLOEXEC))))
        try DescriptorPassing.send([1, 2], over: pair.first.number)
        try DescriptorPassing.send([3], passing: file.number, over: pair.first.number)

        guard let first = try DescriptorPassing.receive(capacity: 16, over: pair.second.number),
            var second = try DescriptorPassing.receive(capacity: 16, over: pair.second.number)
        else {
            Issue.record("a message is missing")
            return
        }
        let (bytes, number) = (first.bytes, second.bytes)
        #expect(bytes == [1, 2] && number == [3])
        guard let copy = second.descriptor.take() else {
            Issue.record("no descriptor has come")
            return
        }
        try check(ftruncate(file.number, 42))
        var status = stat()
        try check(fstat(copy.number, &status))
        #expect(status.st_size == 42)
        #expect(usl_fcntl(copy.number, F_GETFD, 0) & FD_CLOEXEC != 0)
    }

    @Test("an empty socket would block, and a dead peer is the end")
    func ends() throws {
        let pair = try SocketPair(nonBlocking: true)
        let reader = try pair.second.duplicate()
        #expect(throws: Errno.wouldBlock) { _ = try DescriptorPassing.receive(capacity: 16, over: reader.number) }
        _ = pair.keepSecond()
        // A child that another test has just forked holds the first end until it executes its program.
        var entry = pollfd(fd: reader.number, events: Int16(POLLIN), revents: 0)
        try #require(try retrying { poll(&entry, 1, 10_000) } == 1)
        let isAtEnd = try DescriptorPassing.receive(capacity: 16, over: reader.number) == nil
        #expect(isAtEnd)
        #expect(throws: Errno.brokenPipe) { try DescriptorPassing.send([1], over: reader.number) }
    }

    @Test("a signal that a process sends is told from the kernel's")
    func signals() throws {
        let set = SignalSet([SIGUSR2])
        let old = SignalSet.blocked
        set.block()
        defer { old.setAsMask() }
        let signals = try SignalDescriptor(set)
        let none = try signals.next()
        #expect(none?.signal == nil)
        // To this thread, which has blocked it; others of this process may not have.
        try #require(pthread_kill(pthread_self(), SIGUSR2) == 0)
        let arrival = try signals.next()
        #expect(arrival?.signal == SIGUSR2 && arrival?.isFromProcess == true && arrival?.sender == getpid())
    }
}
