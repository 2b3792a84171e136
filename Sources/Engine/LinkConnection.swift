import Kernel
import SessionProtocol
import Transport

/// A transport connection of a session, with what its driver must remember of it.
final class LinkConnection {
    enum Stage {
        case connecting
        /// Likewise, and its SYN has taken the first flight of TLS with it.
        case connectingEarly
        /// TLS is in its handshake.
        case securing
        /// Likewise, and the session has it already. Opener: its ATTACH goes with the first flight, once it is made. Acceptor: the
        /// answer to that may be written, and nothing read.
        case securingEarly
        case open
        /// Nothing more is written; the socket is shut for writing once the queue is empty.
        case ending
        case ended

        /// Whether the handshake is over.
        var isSecured: Bool {
            switch self {
            case .connecting, .connectingEarly, .securing, .securingEarly: false
            case .open, .ending, .ended: true
            }
        }

        /// Whether the first flight of TLS carries, or has carried, what the session says first.
        var isEarly: Bool {
            switch self {
            case .connectingEarly, .securingEarly: true
            case .connecting, .securing, .open, .ending, .ended: false
            }
        }
    }

    /// What its events are known by; unlike its number, it never changes.
    let tag: UInt32
    /// Changes once if the link has carried OPEN and then attaches.
    var number: LinkNumber
    var link: Link
    var registration: Registration?
    var stage: Stage
    var queue = FrameQueue()
    /// Edge-triggered readiness, as last reported.
    var isReadable = false
    var isWritable = false
    /// FIN or an error has been reported, so a short read does not mean that nothing follows.
    var isHangingUp = false
    /// Opener: what was sent with the first flight, until it is known whether that was read.
    var early: [UInt8] = []
    /// A server's ticket comes with the first bytes.
    var awaitsTicket = false
    /// Why a write has failed; what had arrived before is still read.
    var writeFailure: LinkFailure?
    let remote: SocketAddress
    /// Opener: the path that it is on.
    let path: PathID?
    /// Opener: among the dials under way, until the session is opened or joined over it.
    var place: DialQueue.Place?

    init(
        tag: UInt32, number: LinkNumber, _ link: consuming Link, to remote: SocketAddress,
        on path: PathID? = nil, stage: Stage
    ) {
        self.tag = tag
        self.number = number
        self.link = link
        self.stage = stage
        self.remote = remote
        self.path = path
    }

    var local: SocketAddress? {
        link.withSocket { socket in try? socket.localAddress() }
    }

    var transport: LinkTransport {
        link.withSocket { socket in (try? socket.transport()) ?? .tcp }
    }

    func note(_ events: ReadyEvents) {
        if !events.isDisjoint(with: [.readable, .peerClosed, .error, .hangup]) { isReadable = true }
        if !events.isDisjoint(with: [.writable, .error, .hangup]) { isWritable = true }
        if !events.isDisjoint(with: [.peerClosed, .error, .hangup]) { isHangingUp = true }
    }
}
