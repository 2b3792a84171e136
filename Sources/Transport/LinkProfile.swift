public import Kernel
public import SessionProtocol

/// The socket options of a link or a leg as one choice, which may be changed while the connection lives.
///
/// `TCP_NODELAY` is always set: a session writes whole frames, and Nagle's algorithm would only hold back their last segments.
public struct LinkProfile: Hashable, Sendable {
    /// Keepalive probes (tcp(7)), for the end that cannot dial and so must find out by itself that its peer is gone.
    public struct KeepAlive: Hashable, Sendable {
        /// Silence before the first probe, and between probes; whole seconds.
        public var idle: Interval
        public var between: Interval
        /// Probes without answer after which the connection is broken.
        public var count: Int

        public init(idle: Interval, between: Interval, count: Int) {
            self.idle = idle
            self.between = between
            self.count = count
        }
    }

    public var name: String
    /// Nil leaves the system's choice.
    public var congestionControl: String?
    /// Bytes that may wait unsent in the socket before it stops being writable (`TCP_NOTSENT_LOWAT`): so many bytes a PING may
    /// have to queue behind. Nil for no bound.
    public var unsentLimit: Int?
    /// Floor and ceiling of the retransmission timeout; nil for the system's 200 ms and 120 s. The floor also bounds the delay of
    /// acknowledgements (in the kernel, tcp_delack_max), so that a peer with the same profile does not retransmit in vain.
    public var minimumRetransmission: Interval?
    public var maximumRetransmission: Interval?
    /// How long sent data may stay unacknowledged before the kernel breaks the connection (`TCP_USER_TIMEOUT`).
    public var userTimeout: Interval?
    public var keepAlive: KeepAlive?
    /// Sizes of the kernel's buffers in bytes; nil lets them adapt (tcp(7)), which a size, once set, ends for good.
    public var sendBuffer: Int?
    public var receiveBuffer: Int?

    public init(
        name: String, congestionControl: String? = nil, unsentLimit: Int? = nil,
        minimumRetransmission: Interval? = nil, maximumRetransmission: Interval? = nil,
        userTimeout: Interval? = nil, keepAlive: KeepAlive? = nil, sendBuffer: Int? = nil, receiveBuffer: Int? = nil
    ) {
        self.name = name
        self.congestionControl = congestionControl
        self.unsentLimit = unsentLimit
        self.minimumRetransmission = minimumRetransmission
        self.maximumRetransmission = maximumRetransmission
        self.userTimeout = userTimeout
        self.keepAlive = keepAlive
        self.sendBuffer = sendBuffer
        self.receiveBuffer = receiveBuffer
    }

    // MARK: - Presets

    /// A leg: loopback or the server's own network, no frames to keep short queues for. Its retransmission timeout is the
    /// system's, since the application's socket delays its acknowledgements by 40 ms.
    public static let leg = LinkProfile(name: "leg", congestionControl: "reno")

    /// For a connection that is no link: all as this machine has it.
    public static let ordinary = LinkProfile(name: "ordinary")

    /// A link on loopback. With bbr, which paces, a relay there carried a third of what it does with reno.
    public static let local = LinkProfile(
        name: "local", congestionControl: "reno", unsentLimit: 256 << 10,
        minimumRetransmission: .milliseconds(10), maximumRetransmission: .seconds(1))

    /// A link to another host. Retransmissions stay at most 1 s apart, so that a healed path is noticed soon; the user
    /// timeout keeps the shorter timeouts from giving the connection up earlier than the kernel's usual ones.
    ///
    /// The low floor lets the kernel see a silent path some 20 ms after the round trip. While a queue on the path grows, it
    /// costs nothing: at 1, 10 and 100 Mbit/s, behind queues of 1 s, 200 ms and 20 ms, with bbr and cubic, there were as
    /// many retransmissions and as much throughput as with floors of 5 to 200 ms, and one timeout in 6 s at most.
    public static let wan = LinkProfile(
        name: "wan", unsentLimit: 128 << 10, minimumRetransmission: .milliseconds(10),
        maximumRetransmission: .seconds(1), userTimeout: wanSilence, keepAlive: wanKeepAlive)

    /// A link to another host that carries keystrokes and small requests.
    public static let interactive = LinkProfile(
        name: "interactive", unsentLimit: 16 << 10, minimumRetransmission: .milliseconds(10),
        maximumRetransmission: .seconds(1), userTimeout: wanSilence, keepAlive: wanKeepAlive)

    /// A link to another host that carries as much as the path allows; PINGs may wait.
    public static let bulk = LinkProfile(
        name: "bulk", unsentLimit: 1 << 20, minimumRetransmission: .milliseconds(10),
        maximumRetransmission: .seconds(1), userTimeout: wanSilence, keepAlive: wanKeepAlive)

    /// A connection that is relayed for programs that know nothing of it: what they would get themselves, the system's choices. The
    /// system's keepalive (tcp(7)), since a server that asks for it would now only hear from the relay.
    public static let relayed = LinkProfile(
        name: "relayed", keepAlive: KeepAlive(idle: .seconds(7200), between: .seconds(75), count: 9))

    private static let wanKeepAlive = KeepAlive(idle: .seconds(20), between: .seconds(5), count: 4)
    /// As long as keepalive takes: where both are set, the user timeout alone decides also when probes have had no answer (in
    /// the kernel, tcp_keepalive_timer).
    private static let wanSilence = Interval.seconds(40)

    /// The preset for a link to an address when nothing else is known of it.
    public static func suited(to remote: SocketAddress) -> LinkProfile { remote.isLoopback ? .local : .wan }

    /// The preset for one end of a relayed connection.
    public static func relayed(to remote: SocketAddress) -> LinkProfile { remote.isLoopback ? .leg : .relayed }
}
