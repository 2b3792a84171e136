import CLinux
import Kernel
import Testing

/// Runs `body` on a thread in a network namespace of its own, which ends with it; needs root.
private func inOwnNetwork(_ body: @escaping @Sendable () throws -> Void) throws {
    final class Run {
        let body: @Sendable () throws -> Void
        var result: Result<Void, any Error>?
        init(_ body: @escaping @Sendable () throws -> Void) { self.body = body }
    }
    let run = Run(body)
    var thread = pthread_t()
    let started = pthread_create(
        &thread, nil,
        { argument in
            let run = Unmanaged<Run>.fromOpaque(argument!).takeUnretainedValue()
            run.result = Result {
                try check(unshare(CLONE_NEWNET))
                try run.body()
            }
            return nil
        }, Unmanaged.passUnretained(run).toOpaque())
    try #require(started == 0)
    pthread_join(thread, nil)
    try withExtendedLifetime(run) { try run.result?.get() }
}

/// Runs `ip` in the network namespace of the calling thread.
private func ip(_ arguments: String) throws {
    let words = ["ip"] + arguments.split(separator: " ").map(String.init)
    let child = try ChildProcess.spawn(words.map { Array($0.utf8) }, ChildProcess.Attributes())
    #expect(try child.wait(milliseconds: 10_000) == .success, "ip \(arguments)")
}

private let host = SocketAddress.Host.v4(0x0a09_0901)

@Suite("Network monitor", .enabled(if: geteuid() == 0, "namespaces without a user namespace need root"))
struct NetworkMonitorTests {
    @Test("what is there is known at once; what comes and goes is told")
    func tellsOfChanges() throws {
        try inOwnNetwork {
            try ip("link set lo up")
            var monitor = try NetworkMonitor()
            #expect(monitor.state.interfaceNames == ["lo"] && monitor.state.isUsable(.v4(0x7f00_0001)))
            let hasChanged = try monitor.update()
            #expect(!hasChanged)

            let changes: [(command: String, isUsable: Bool)] = [
                ("address add 10.9.9.1/24 dev lo", true), ("link set lo down", false), ("link set lo up", true),
                ("route add 10.10.0.0/16 via 10.9.9.2", true), ("rule add from 10.9.9.1 lookup 100", true),
                ("address del 10.9.9.1/24 dev lo", false),
            ]
            for (command, isUsable) in changes {
                try ip(command)
                // rtnetlink answers a request when all listeners have been told of what it did.
                let isTold = try monitor.update()
                let isToldAgain = try monitor.update()
                #expect(isTold && !isToldAgain && monitor.state.isUsable(host) == isUsable, "\(command)")
            }
            try ip("link add va type veth peer name vb")
            let isConcerned = try monitor.update()
            #expect(!isConcerned && monitor.state.interfaceNames == ["lo", "va", "vb"])
        }
    }

    @Test("when too much is told at once, everything is asked for again")
    func survivesOverflow() throws {
        try inOwnNetwork {
            try ip("link set lo up")
            var monitor = try NetworkMonitor()
            var least: Int32 = 0
            setsockopt(monitor.socket.descriptor.number, SOL_SOCKET, SO_RCVBUF, &least, 4)
            for number in 1...50 { try ip("address add 10.9.9.\(number)/32 dev lo") }
            let hasChanged = try monitor.update()
            #expect(hasChanged)
            for number in 1...50 as ClosedRange<UInt32> {
                #expect(monitor.state.isUsable(.v4(0x0a09_0900 + number)))
            }
        }
    }
}

@Suite("Sleep")
struct SleepWatchTests {
    @Test("suspended time is what one clock counts and the other does not")
    func comparesClocks() {
        func reading(_ boot: Int, _ monotonic: Int) -> SleepClocks.Reading {
            .init(boot: .milliseconds(boot), monotonic: .milliseconds(monotonic))
        }
        var clocks = SleepClocks(reading(5_000, 2_000))
        func slept(_ boot: Int, _ monotonic: Int) -> Duration? { clocks.advance(to: reading(boot, monotonic)) }
        #expect(slept(6_000, 3_000) == nil)
        #expect(slept(3_606_000, 3_000) == .seconds(3_600))
        #expect(slept(3_607_000, 4_000) == nil)
        // Less than the readings may be apart is no sleep, but small ones add up.
        #expect(slept(3_608_040, 5_000) == nil)
        #expect(slept(3_609_080, 6_000) == .milliseconds(80))
    }

    @Test("a watch waits without an event")
    func waits() throws {
        var watch = try SleepWatch()
        var entry = pollfd(fd: watch.descriptor.number, events: Int16(POLLIN), revents: 0)
        #expect(try retrying { poll(&entry, 1, 0) } == 0)
        let slept = try watch.slept()
        #expect(slept == nil)
    }
}
