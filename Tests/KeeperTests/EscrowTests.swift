import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Keeper

@Suite("Escrow")
struct EscrowTests {
    /// A pipe whose reading end sees end of file once nobody holds the writing end any more.
    private struct Pipe: ~Copyable {
        let reader: Descriptor
        var writer: Descriptor?

        init() throws {
            var ends: [Int32] = [-1, -1]
            try check(pipe2(&ends, O_CLOEXEC | O_NONBLOCK))
            reader = Descriptor(owning: ends[0])
            writer = Descriptor(owning: ends[1])
        }

        /// Somebody holds the writing end as long as there is nothing to read instead of the end. Children that other tests
        /// have just forked hold everything until they execute their programs, so that the end may take a moment.
        func expectHeld(_ expected: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
            var entry = pollfd(fd: reader.number, events: Int16(POLLIN), revents: 0)
            let isHeld = poll(&entry, 1, expected ? 0 : 10_000) == 0
            #expect(isHeld == expected, sourceLocation: sourceLocation)
        }
    }

    @Test("a message arrives as it was sent")
    func codec() {
        let messages: [WorkerMessage] =
            EscrowKind.allCases.map { .hold(EscrowKey(UInt64.max - 1), $0) } + [
                .release(EscrowKey(7)), .replace, .report(.ready),
                .report(.legs(count: 3, undelivered: 1 << 40, destination: "[2001:db8::1]:443")),
                .report(.legs(count: 0, undelivered: 0, destination: "")),
                .report(.delivered(lost: 12)),
            ]
        for message in messages { #expect(WorkerMessage(message.encoded()) == message) }
        for message in [KeeperMessage.programEnded, .end] { #expect(KeeperMessage([message.rawValue]) == message) }
    }

    @Test("a message that is cut short, too long or unknown is none")
    func garbage() {
        let message = WorkerMessage.hold(EscrowKey(1), .leg).encoded()
        for count in 0..<message.count { #expect(WorkerMessage(Array(message.prefix(count))) == nil) }
        #expect(WorkerMessage(message + [0]) == nil)
        #expect(WorkerMessage([99]) == nil)
        #expect(WorkerMessage([1, 99] + message.dropFirst(2)) == nil)
        #expect(KeeperMessage([]) == nil)
        #expect(KeeperMessage([99]) == nil)
        #expect(LauncherMessage([]) == nil)
        #expect(LauncherRequest([1, 0]) == nil)
    }

    @Test("a destination that is too long is cut")
    func longText() {
        let long = String(repeating: "x", count: 5000)
        let bytes = WorkerMessage.report(.legs(count: 1, undelivered: 2, destination: long)).encoded()
        #expect(bytes.count == WorkerMessage.maximumSize)
        guard case .report(.legs(1, 2, let text)) = WorkerMessage(bytes) else {
            Issue.record("the message is lost")
            return
        }
        #expect(long.hasPrefix(text))
    }

    @Test("launcher and keeper understand each other")
    func launcherCodec() {
        let messages: [LauncherMessage] = [
            .started(1234), .failed(127), .stopped(SIGTSTP), .ended(.exited(255)), .ended(.signaled(SIGKILL)),
            .draining(undelivered: 1 << 50, destination: "db1:5432"), .finished(lost: 9),
        ]
        for message in messages { #expect(LauncherMessage(message.encoded()) == message) }
        for request in [LauncherRequest.forward(SIGTERM), .resume, .giveUp] {
            #expect(LauncherRequest(request.encoded()) == request)
        }
    }

    @Test("what is held stays open until it is released")
    func holds() throws {
        var pipe = try Pipe()
        var escrow = Escrow()
        escrow.hold(EscrowKey(1), .leg, try unwrap(pipe.writer.take()))
        pipe.expectHeld(true)
        let (legs, arenas) = (escrow.count(of: .leg), escrow.count(of: .arena))
        #expect(legs == 1 && arenas == 0)
        escrow.release(EscrowKey(2))
        pipe.expectHeld(true)
        escrow.release(EscrowKey(1))
        pipe.expectHeld(false)
        let isEmpty = escrow.isEmpty
        #expect(isEmpty)
    }

    @Test("keys tell who made what, and what is taken is not held any more")
    func takes() throws {
        var pipe = try Pipe()
        var escrow = Escrow()
        escrow.hold(EscrowKey(3), .leg, try unwrap(pipe.writer.take()))
        escrow.hold(own: .listener, Descriptor(owning: try check(usl_open("/dev/null", O_RDONLY | O_CLOEXEC, 0))))
        escrow.hold(own: .listener, Descriptor(owning: try check(usl_open("/dev/null", O_RDONLY | O_CLOEXEC, 0))))
        let (largest, listeners) = (escrow.largestKey, escrow.keys(of: .listener))
        #expect(largest == 3 && listeners.count == 2)
        do {
            let taken = try unwrap(escrow.take(EscrowKey(3)))
            #expect(taken.number > 2)
            let again = escrow.take(EscrowKey(3)) == nil
            #expect(again)
            pipe.expectHeld(true)
        }
        pipe.expectHeld(false)
        let left = escrow.takeAll()
        let (isEmpty, count) = (escrow.isEmpty, left.count(of: .listener))
        #expect(isEmpty && count == 2)
    }

    @Test("a second descriptor under a key replaces the first")
    func replaces() throws {
        var first = try Pipe()
        var second = try Pipe()
        var escrow = Escrow()
        escrow.hold(EscrowKey(1), .leg, try unwrap(first.writer.take()))
        escrow.hold(EscrowKey(1), .leg, try unwrap(second.writer.take()))
        first.expectHeld(false)
        second.expectHeld(true)
        escrow.releaseAll()
        second.expectHeld(false)
    }

    @Test("what a worker gave away outlives it, until its keeper lets go")
    func outlivesTheWorker() throws {
        var pipe = try Pipe()
        let ends = try SocketPair(nonBlocking: true)
        let keeper = try ends.second.duplicate()
        do {
            let writer = try unwrap(pipe.writer.take())
            let channel = EscrowChannel(owning: ends.keepFirst())
            try channel.hold(EscrowKey(1), .leg, descriptor: writer.number)
        }
        // The worker's own copies are closed by now, and nobody has read the message.
        pipe.expectHeld(true)
        var received = try unwrap(try DescriptorPassing.receive(capacity: 512, over: keeper.number))
        #expect(WorkerMessage(received.bytes) == .hold(EscrowKey(1), .leg))
        var escrow = Escrow()
        escrow.hold(EscrowKey(1), .leg, try unwrap(received.descriptor.take()))
        pipe.expectHeld(true)
        escrow.releaseAll()
        pipe.expectHeld(false)
    }

    @Test("a worker never waits for its keeper")
    func pushesBack() throws {
        let ends = try SocketPair(nonBlocking: true)
        let keeper = try ends.second.duplicate()
        let channel = EscrowChannel(owning: ends.keepFirst())
        #expect(throws: Errno.wouldBlock) {
            for key in 0..<100_000 { try channel.release(EscrowKey(UInt64(key))) }
        }
        _ = try DescriptorPassing.receive(capacity: 512, over: keeper.number)
        var entry = pollfd(fd: channel.descriptor.number, events: Int16(POLLOUT), revents: 0)
        // A Unix socket is writable again once most of its queue has been read.
        while poll(&entry, 1, 0) == 0 { _ = try DescriptorPassing.receive(capacity: 512, over: keeper.number) }
        try channel.reportDelivered(lost: 0)
    }

    @Test("a worker learns what its keeper wants, and that it has died")
    func listens() throws {
        let ends = try SocketPair(nonBlocking: true)
        let number = ends.second.number
        let channel = EscrowChannel(owning: try ends.first.duplicate())
        var said = try channel.receive()
        #expect(said == .nothing)
        try DescriptorPassing.send([KeeperMessage.programEnded.rawValue], over: number)
        said = try channel.receive()
        #expect(said == .message(.programEnded))
        _ = ends.keepFirst()
        var entry = pollfd(fd: channel.descriptor.number, events: Int16(POLLIN), revents: 0)
        try #require(poll(&entry, 1, 10_000) == 1)
        said = try channel.receive()
        #expect(said == .end)
        #expect(throws: Errno.brokenPipe) { try channel.release(EscrowKey(1)) }
    }
}
