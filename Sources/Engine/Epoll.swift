import CLinux
import Kernel
import SessionProtocol
import SystemPackage

/// What the kernel reported for a descriptor; the raw values are epoll's own bits (epoll_ctl(2)).
public struct ReadyEvents: OptionSet, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Bytes, an end of file or a connection to accept may be waiting.
    public static let readable = ReadyEvents(rawValue: EPOLLIN.rawValue)
    /// Urgent bytes are in the stream (tcp(7)).
    public static let urgent = ReadyEvents(rawValue: EPOLLPRI.rawValue)
    /// The send buffer has room again, or a connect has ended, well or badly.
    public static let writable = ReadyEvents(rawValue: EPOLLOUT.rawValue)
    /// The peer sent its FIN: no more bytes will arrive than are already queued.
    public static let peerClosed = ReadyEvents(rawValue: EPOLLRDHUP.rawValue)
    /// `SO_ERROR` is set.
    public static let error = ReadyEvents(rawValue: EPOLLERR.rawValue)
    /// Both directions are over, or the socket was never connected.
    public static let hangup = ReadyEvents(rawValue: EPOLLHUP.rawValue)
}

/// What a descriptor is watched for.
public enum Interest: Sendable {
    case everything
    /// Not that it can be written to. A channel, unlike a connection, tells so each time that the other end has read something.
    case input

    fileprivate var bits: UInt32 {
        let input = EPOLLIN.rawValue | EPOLLPRI.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        return switch self {
        case .everything: input | EPOLLOUT.rawValue
        case .input: input
        }
    }
}

/// An epoll instance and the buffer its events arrive in.
struct Epoll: ~Copyable {
    /// More than this many ready descriptors are reported over several turns, which bounds the length of one.
    private static let capacity = 256

    private let descriptor: Descriptor
    private let events: UnsafeMutableBufferPointer<epoll_event>
    /// False once the kernel has answered ENOSYS to epoll_pwait2(2), which needs Linux 5.11.
    private var hasNanosecondWait = true

    init() throws(Errno) {
        descriptor = Descriptor(owning: try check(epoll_create1(Int32(EPOLL_CLOEXEC))))
        events = .allocate(capacity: Self.capacity)
    }

    deinit { events.deallocate() }

    /// Registers a descriptor edge-triggered. No further system call is needed until it is removed, for as long as what it is
    /// watched for stays the same.
    func add(_ number: Int32, for interest: Interest, key: UInt64) throws(Errno) {
        var event = Self.event(interest, key)
        try check(epoll_ctl(descriptor.number, EPOLL_CTL_ADD, number, &event))
    }

    /// Watches for something else from now on. What is ready already is reported again.
    func change(_ number: Int32, to interest: Interest, key: UInt64) throws(Errno) {
        var event = Self.event(interest, key)
        try check(epoll_ctl(descriptor.number, EPOLL_CTL_MOD, number, &event))
    }

    private static func event(_ interest: Interest, _ key: UInt64) -> epoll_event {
        var event = epoll_event()
        event.events = interest.bits
        event.data.u64 = key
        return event
    }

    /// Removes a descriptor. Closing it would not be enough: the keeper holds a copy, and epoll watches the open file
    /// description until the last copy is gone (epoll(7), question 6).
    func remove(_ number: Int32) {
        // Only a descriptor that was closed before its registration ended makes this fail, and then the generation
        // check in the loop keeps its events from anyone else.
        _ = epoll_ctl(descriptor.number, EPOLL_CTL_DEL, number, nil)
    }

    /// Waits for events, at most for `timeout`; without one, for ever.
    ///
    /// - Returns: the number of events, zero also after a signal.
    mutating func wait(timeout: Interval?) -> Int {
        let count: Int32
        if hasNanosecondWait {
            if let timeout {
                var time = timespec(
                    tv_sec: Int(timeout.nanoseconds / 1_000_000_000),
                    tv_nsec: Int(timeout.nanoseconds % 1_000_000_000))
                count = epoll_pwait2(descriptor.number, events.baseAddress, Int32(events.count), &time, nil)
            } else {
                count = epoll_pwait2(descriptor.number, events.baseAddress, Int32(events.count), nil, nil)
            }
        } else {
            let milliseconds = timeout.map { Int32(clamping: $0.millisecondsRoundedUp) } ?? -1
            count = epoll_wait(descriptor.number, events.baseAddress, Int32(events.count), milliseconds)
        }
        if count >= 0 { return Int(count) }
        switch usl_errno() {
        case EINTR: return 0
        case ENOSYS where hasNanosecondWait:
            hasNanosecondWait = false
            return wait(timeout: timeout)
        case let code: preconditionFailure("epoll_wait: errno \(code)")
        }
    }

    /// An event of the last wait.
    func event(_ index: Int) -> (key: UInt64, ready: ReadyEvents) {
        let event = events[index]
        return (event.data.u64, ReadyEvents(rawValue: event.events))
    }
}
