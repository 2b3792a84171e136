import Engine
public import Kernel
import SessionProtocol
public import SystemPackage

/// Tells every session of a process when the network has changed or the machine has slept. On the main loop.
public final class NetworkWatch {
    /// One change of the network is many messages, which come within a millisecond or two.
    private static let settling = Interval.milliseconds(3)
    /// When they do not end, sessions hear of it so often.
    private static let pause = Interval.milliseconds(20)
    /// A shorter sleep leaves links as they are: nobody has given them up.
    private static let longSleep = Duration.seconds(5)

    private static let networkTag: UInt32 = 0
    private static let sleepTag: UInt32 = 1

    private let pool: LoopPool
    private var monitor: NetworkMonitor
    private var sleep: SleepWatch
    private var hasSlept = false
    private var timer: TimerToken?
    private var lastTold = Instant(nanoseconds: 0)

    /// How the network is now.
    public var state: NetworkState { monitor.state }

    public init(_ pool: LoopPool) throws(Errno) {
        let monitor = try NetworkMonitor()
        let sleep = try SleepWatch()
        let (network, timer) = (monitor.socket.descriptor.number, sleep.descriptor.number)
        self.monitor = monitor
        self.sleep = sleep
        self.pool = pool
        _ = try pool.main.register(network, self, tag: Self.networkTag)
        _ = try pool.main.register(timer, self, tag: Self.sleepTag)
    }

    private func tellSoon(_ loop: EventLoop) {
        guard timer == nil else { return }
        timer = loop.schedule(self, at: max(loop.now + Self.settling, lastTold + Self.pause))
    }
}

extension NetworkWatch: EventHandler, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        // Neither can fail but for lack of memory, and then the next event brings the news.
        if tag == Self.networkTag {
            if (try? monitor.update()) == true { tellSoon(loop) }
        } else if let slept = (try? sleep.slept()) ?? nil {
            hasSlept = hasSlept || slept >= Self.longSleep
            tellSoon(loop)
        }
    }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        lastTold = loop.now
        pool.forEachTable { [state, hasSlept] table, _ in
            for driver in table.drivers { driver.networkChanged(state, hasSlept: hasSlept) }
        }
        hasSlept = false
    }
}
