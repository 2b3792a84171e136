import CLinux
public import Kernel
public import SystemPackage

/// A loopback address that neither accepts nor refuses: an application that connects to it stays in SYN_SENT, and its
/// epoll stays silent, until there is a verdict.
///
/// It is a listener with backlog 0 whose queue one connection of our own, the plug, fills; the kernel then drops every
/// further SYN (`tcp_conn_request`). The application need not have connected yet when the verdict comes.
public struct HeldAddress: ~Copyable, Sendable {
    /// Where to send the application: loopback.
    public let address: SocketAddress
    /// The loopback address of the family that the application's socket really speaks: never an IPv4-mapped one.
    private let listener: Descriptor
    /// nil after a predecessor. It is not missed: a connection that was reset stays in the queue until it is accepted.
    private let plug: Descriptor?
    /// SYNs dropped before any application knew the address.
    private let dropsBefore: UInt32
    /// An epoll instance of what a release waits for: the listener and the opener.
    private let progress: Descriptor
    private var opener = Opener.none
    private var application: SocketAddress?

    /// The socket of a simultaneous open.
    private enum Opener: ~Copyable {
        case none
        /// It has the held address, and has not called.
        case ready(Descriptor)
        case calling(Descriptor)
    }

    /// The listener, which is the held address: for escrow. While any process holds it, applications stay held.
    public var listenerNumber: Int32 { listener.number }

    /// - Parameter family: `AF_INET` (also for IPv4-mapped destinations) or `AF_INET6`.
    public init(family: Int32) throws(Errno) {
        let listener = try LegSocket.make(family: family)
        try Self.share(listener.number)
        let address = try LegSocket.bind(listener.number, to: .loopback(like: .wildcard(family: family), port: 0))
        try check(listen(listener.number, 0))

        let plug = try LegSocket.make(family: family)
        do {
            let number = plug.number
            try address.withSockaddr { (pointer, length) throws(Errno) in
                _ = try check(usl_connect(number, pointer, length))
            }
        } catch .nowInProgress {
            // Loopback has delivered the handshake before connect() returned; only EPOLLOUT has not been reported yet.
        }
        // Someone else's connection, should it have come first, fills the queue just as well.
        var queue = pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0)
        guard try retrying({ poll(&queue, 1, 1000) }) == 1 else { throw .timedOut }

        let dropsBefore = try Self.drops(of: listener.number)
        let progress = try check(epoll_create1(Int32(EPOLL_CLOEXEC)))
        self.dropsBefore = dropsBefore
        self.progress = Descriptor(owning: progress)
        self.address = address
        self.listener = listener
        self.plug = consume plug
    }

    /// Goes on with a held address whose process has died, from its listener.
    public init(adopting listener: consuming Descriptor) throws(Errno) {
        let address = try LegSocket.localAddress(of: listener.number)
        let progress = try check(epoll_create1(Int32(EPOLL_CLOEXEC)))
        self.address = address
        self.progress = Descriptor(owning: progress)
        plug = nil
        // What was dropped by now may have been the application's.
        dropsBefore = 0
        self.listener = listener
    }

    /// Lets the application through. The leg is ready when `releaseDescriptor` polls readable.
    ///
    /// A SYN that was dropped would be repeated only after a second or more, so it is answered by a simultaneous open
    /// (RFC 9293, 3.5) from the held address itself. If none was dropped, the application has yet to connect: the opened
    /// listener takes it. The order closes the race between the two: first open the listener, then read the counter.
    ///
    /// Under Multipath TCP there is no simultaneous open: Linux (6.18) tells such a socket nothing of it, and loses the first byte
    /// that it is sent then. Its next SYN finds the listener open.
    ///
    /// - Parameters:
    ///   - application: the address that the application's socket is bound to.
    ///   - isMultipath: whether that is a socket of Multipath TCP.
    /// - Returns: the socket of the simultaneous open, if one is needed. It becomes the leg: put it into escrow, and then
    ///   ``meetApplication()``.
    public mutating func release(to application: SocketAddress, isMultipath: Bool) throws(Errno) -> Int32? {
        self.application = application
        try check(listen(listener.number, 128))
        try watch(listener.number, for: EPOLLIN.rawValue)
        if isMultipath { return nil }
        guard try Self.drops(of: listener.number) != dropsBefore else { return nil }
        let opener = try LegSocket.make(family: address.family)
        let number = opener.number
        try Self.share(number)
        _ = try LegSocket.bind(number, to: address)
        self.opener = .ready(opener)
        return number
    }

    /// Does the simultaneous open. Without one, the application comes to the listener.
    public mutating func meetApplication() throws(Errno) {
        guard let application, case .ready(let opener) = exchange(&self.opener, with: .none) else { return }
        let number = opener.number
        do {
            try application.withSockaddr { (pointer, length) throws(Errno) in
                _ = try check(usl_connect(number, pointer, length))
            }
        } catch .nowInProgress {
            // On loopback all has happened before connect() returned; only EPOLLOUT has not been reported yet.
        } catch .addressNotAvailable, .connectionRefused {
            // The listener was quicker: a repeated SYN holds the four-tuple. Or nobody is there any more.
            return
        }
        try watch(number, for: EPOLLOUT.rawValue)
        self.opener = .calling(opener)
    }

    /// Polls readable, after `release(to:isMultipath:)`, when `takeLeg` is worth a call.
    public var releaseDescriptor: Int32 { progress.number }

    /// The leg, once it is established; nil while it is not. An application that has given up never comes, so the
    /// caller sets the limit.
    public mutating func takeLeg() throws(Errno) -> Leg? {
        guard let application else { return nil }
        switch exchange(&opener, with: .none) {
        case .none: break
        case .ready(let opener): self.opener = .ready(opener)
        case .calling(let opener):
            var ready = pollfd(fd: opener.number, events: Int16(POLLOUT), revents: 0)
            if poll(&ready, 1, 0) <= 0 {
                self.opener = .calling(opener)
            } else if try SocketOption.read(SOL_SOCKET, SO_ERROR, of: opener.number, initial: Int32(0)) == 0 {
                return Leg(descriptor: opener, application: application)
            }
        // Refused: the dropped SYN was not the application's, which will find the listener open.
        }
        while let leg = try LegSocket.accept(from: listener.number) {
            // The plug, and whoever else tries ports on loopback, is closed.
            if leg.application == application { return leg }
        }
        return nil
    }

    /// Refuses the application: its next SYN, which the kernel sends a second after the last one and later at growing
    /// distances, gets a reset, and its connect() `ECONNREFUSED`.
    public consuming func refuse() {}

    /// Lets the listener and the opener have one address. Other users cannot join (`SO_REUSEPORT`, socket(7)).
    private static func share(_ socket: Int32) throws(Errno) {
        try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: socket, to: Int32(1))
        try SocketOption.set(SOL_SOCKET, SO_REUSEPORT, of: socket, to: Int32(1))
    }

    /// SYNs that found the queue full (`sk_drops`, by way of `SO_MEMINFO`).
    private static func drops(of socket: Int32) throws(Errno) -> UInt32 {
        // SK_MEMINFO_DROPS is the last of nine values (linux/sock_diag.h).
        let values = try SocketOption.read(
            SOL_SOCKET, SO_MEMINFO, of: socket, initial: InlineArray<9, UInt32>(repeating: 0))
        return values[8]
    }

    private borrowing func watch(_ socket: Int32, for events: UInt32) throws(Errno) {
        var event = epoll_event(events: events, data: epoll_data_t(fd: socket))
        try check(epoll_ctl(progress.number, EPOLL_CTL_ADD, socket, &event))
    }
}
