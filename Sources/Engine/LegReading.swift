import CLinux
import Kernel
import SystemPackage
import Transport

/// What the kernel says of a leg at one moment: the journal from which a successor learns how far its predecessor had come.
struct LegReading: Equatable {
    /// A state of linux/tcp_states.h.
    var state: UInt8
    /// Bytes that have arrived in order, and one more for a FIN, since before this process knew the leg (`TCP_INFO`).
    var received: UInt64
    /// Bytes that the other end's TCP has acknowledged, and one more for a FIN, and perhaps one for the SYN.
    var acknowledged: UInt64
    /// Bytes that nobody has read yet; a FIN does not count (`SIOCINQ`).
    var unread: UInt64
    /// Bytes written and not acknowledged; a FIN counts as one (`SIOCOUTQ`).
    var unacknowledged: UInt64
    /// Whether the kernel has an error to report (`POLLERR`). Asking this way does not use the error up.
    var hasError: Bool

    /// Reads all of it. The counters come by several system calls, so they are read until they agree.
    static func take(of socket: borrowing TCPSocket) throws(Errno) -> LegReading {
        var before = try socket.info()
        while true {
            let unread = try socket.unreadBytes()
            // A closed socket has no queue to ask about on some kernels; what it has acknowledged then is all.
            let unacknowledged = (try? socket.unacknowledgedBytes()) ?? 0
            var entry = pollfd(fd: socket.number, events: 0, revents: 0)
            _ = poll(&entry, 1, 0)
            let after = try socket.info()
            if before.bytes_received == after.bytes_received, before.bytes_acked == after.bytes_acked,
                before.state == after.state
            {
                return LegReading(
                    state: after.state, received: after.bytes_received, acknowledged: after.bytes_acked,
                    unread: UInt64(unread), unacknowledged: UInt64(unacknowledged),
                    hasError: Int32(entry.revents) & POLLERR != 0)
            }
            before = after
        }
    }

    /// Whether the other end's FIN has arrived, as far as the state tells.
    private var hasFin: Bool { state == TCP.closeWait || state == TCP.lastAck || state == TCP.closing }
    /// Whether this end's FIN was sent, or waits to be.
    private var hasSentFin: Bool {
        state == TCP.finWait1 || state == TCP.finWait2 || state == TCP.lastAck || state == TCP.closing
    }

    /// What the counters stand at before the first byte has been read from a leg, or written to it.
    var base: LegBase {
        LegBase(
            received: received &- unread &- (hasFin ? 1 : 0), acknowledged: acknowledged + unacknowledged)
    }

    /// The states of linux/tcp_states.h.
    private enum TCP {
        static let finWait1: UInt8 = 4
        static let finWait2: UInt8 = 5
        static let close: UInt8 = 7
        static let closeWait: UInt8 = 8
        static let lastAck: UInt8 = 9
        static let closing: UInt8 = 11
    }
}

/// A leg's counters when it was established: positions are counted from there.
public struct LegBase: Equatable, Sendable {
    public let received: UInt64
    public let acknowledged: UInt64
}

/// What a dead process has stored about a leg.
struct LegRecord {
    var base: LegBase
    /// Bytes below were taken. It is stored behind each read, so a process that dies in between has taken more.
    var tail: UInt64
    var finRead = false
    /// Set before the FIN is sent.
    var finWritten = false
    var resetSeen = false
}

/// How far the owner of a leg had come when it died.
struct LegPositions: Equatable {
    enum Fate: Equatable {
        /// The leg goes on, or has ended in order.
        case whole
        /// The application has reset it. Bytes that it had written before can still be read.
        case reset
        /// It has reset it, or there is nothing to make out: what is unread is of no use.
        case lost
    }

    /// End of the bytes that were taken from it.
    var taken: UInt64
    /// End of the bytes that were written to it.
    var delivered: UInt64
    /// Whether the FIN behind these was sent.
    var finDelivered: Bool
    var fate: Fate
}

extension LegReading {
    func positions(_ record: LegRecord) -> LegPositions {
        let (sinceBase, overflow) = received.subtractingReportingOverflow(record.base.received &+ unread)
        // What was disconnected on purpose (`connect` with `AF_UNSPEC`) counts from zero again.
        let isGone = overflow || sinceBase < record.tail || acknowledged &+ unacknowledged < record.base.acknowledged
        if isGone { return LegPositions(taken: record.tail, delivered: 0, finDelivered: false, fate: .lost) }
        let written = acknowledged + unacknowledged - record.base.acknowledged
        let (taken, fate) = state == TCP.close ? closed(sinceBase, record) : (sinceBase - (hasFin ? 1 : 0), .whole)
        let finDelivered = hasSentFin || state == TCP.close && record.finWritten
        guard taken >= record.tail, written >= (finDelivered ? 1 : 0) else {
            return LegPositions(taken: record.tail, delivered: 0, finDelivered: false, fate: .lost)
        }
        return LegPositions(
            taken: taken, delivered: written - (finDelivered ? 1 : 0), finDelivered: finDelivered, fate: fate)
    }

    /// A closed connection has ended in order, or was reset, and the state does not say which. Its counter of received
    /// bytes, `count` since the base, may have a FIN in it or not.
    private func closed(_ count: UInt64, _ record: LegRecord) -> (UInt64, LegPositions.Fate) {
        if record.finRead {
            // Behind both FINs nothing is left that a reset could take away.
            return (record.tail, record.finWritten && !record.resetSeen ? .whole : .lost)
        }
        let endedInOrder = record.finWritten && !record.resetSeen && !hasError
        // A FIN would have made the counter larger than what was taken.
        if endedInOrder, count > record.tail { return (count - 1, .whole) }
        if count == record.tail { return (count, .reset) }
        // The process died between a read and its note, so more was taken than noted; whether the last of these is a
        // byte or a FIN nobody knows. A reset may take a byte with it, but no byte may be made up.
        return (max(record.tail, count - 1), .lost)
    }
}
