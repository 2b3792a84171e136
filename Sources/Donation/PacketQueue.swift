import CLinux
import Kernel
import SystemPackage

/// Packets that `HoldRules` holds (in the kernel, include/uapi/linux/netfilter/nfnetlink_queue.h).
struct PacketQueue: ~Copyable {
    /// Packets that may be held at a time. Further ones are dropped; a SYN is repeated by its socket.
    private static let length: UInt32 = 1 << 16
    /// Enough for the headers that are looked at: IPv6 and TCP.
    static let headers: UInt32 = 128
    /// As much as fits into a message of netlink with all else (in `NetlinkSocket`, 64 KiB).
    static let nearlyAll: UInt32 = 65_000

    /// A SYN that waits.
    struct HeldPacket {
        let number: UInt32
        let mark: UInt32
        let source: SocketAddress
        let destination: SocketAddress
        /// From its IP header on.
        let headers: [UInt8]
    }

    private let socket: NetlinkSocket
    private let queue: UInt16
    var descriptor: Int32 { socket.descriptor.number }

    /// Opens a queue of this thread's network namespace.
    ///
    /// - Parameter snapshot: how many bytes of each packet are looked at.
    init(_ queue: UInt16, snapshot: UInt32) throws(Errno) {
        let socket = try NetlinkSocket(NETLINK_NETFILTER)
        try Self.configure(
            socket, queue, NFQA_CFG_CMD,
            nfqnl_msg_config_cmd(command: UInt8(NFQNL_CFG_CMD_BIND.rawValue), _pad: 0, pf: 0))
        try Self.configure(
            socket, queue, NFQA_CFG_PARAMS,
            nfqnl_msg_config_params(
                copy_range: snapshot.bigEndian, copy_mode: UInt8(NFQNL_COPY_PACKET.rawValue)))
        try Self.configure(socket, queue, NFQA_CFG_QUEUE_MAXLEN, Self.length.bigEndian)
        try socket.descriptor.setNonBlocking(true)
        // What does not fit is lost. Usually, the kernel gives twice what it gives the program's own socket to send from, so that this one waits
        // before anything is (socket(7), net.core.rmem_max).
        try SocketOption.set(SOL_SOCKET, SO_RCVBUF, of: socket.descriptor.number, to: Int32(4 << 20))
        self.socket = socket
        self.queue = queue
    }

    /// Gives each packet that has come in; false if none has. Packets that are no TCP are let through.
    borrowing func take(_ body: (HeldPacket) -> Void) throws(Errno) -> Bool {
        var strangers: [UInt32] = []
        let isMore = try receive { packet in
            if let held = HeldPacket(packet) { body(held) } else { strangers.append(packet.number) }
        }
        for number in strangers { try decide(number, NF_ACCEPT, mark: nil) }
        return isMore
    }

    /// Gives each packet that has come in, whatever it is; false if none has.
    borrowing func receive(_ body: (Packet) -> Void) throws(Errno) -> Bool {
        do throws(Errno) {
            try socket.receive { header, payload in
                if let packet = Self.packet(header, payload) { body(packet) }
            }
        } catch .wouldBlock {
            return false
        } catch .noBufferSpace {
            // Some were dropped for want of room; SYNs will come again.
        }
        return true
    }

    /// Lets a SYN go on to its fate.
    borrowing func release(_ packet: HeldPacket, to fate: PacketMark.Fate) throws(Errno) {
        try release(packet.number, mark: packet.mark, to: fate)
    }

    borrowing func release(_ number: UInt32, mark: UInt32, to fate: PacketMark.Fate) throws(Errno) {
        try decide(number, NF_ACCEPT, mark: mark & PacketMark.processBits | fate.rawValue)
    }

    borrowing func drop(_ packet: HeldPacket) throws(Errno) { try decide(packet.number, NF_DROP, mark: nil) }

    /// Drops them all, by one call.
    borrowing func drop(_ numbers: [UInt32]) throws(Errno) {
        if numbers.isEmpty { return }
        try socket.send(numbers.flatMap { verdict($0, NF_DROP, mark: nil).bytes })
    }

    private borrowing func decide(_ number: UInt32, _ fate: Int32, mark: UInt32?) throws(Errno) {
        try socket.send(verdict(number, fate, mark: mark).bytes)
    }

    private borrowing func verdict(_ number: UInt32, _ verdict: Int32, mark: UInt32?) -> NetlinkMessage {
        var message = Self.message(NFQNL_MSG_VERDICT, queue)
        withUnsafeBytes(of: nfqnl_msg_verdict_hdr(verdict: UInt32(verdict).bigEndian, id: number.bigEndian)) {
            message.attribute(NFQA_VERDICT_HDR.rawValue, $0)
        }
        if let mark { message.attribute(NFQA_MARK.rawValue, integer: mark.bigEndian) }
        return message
    }

    private static func configure(
        _ socket: borrowing NetlinkSocket, _ queue: UInt16, _ attribute: nfqnl_attr_config,
        _ value: some BitwiseCopyable
    ) throws(Errno) {
        var message = message(NFQNL_MSG_CONFIG, queue, flags: NLM_F_ACK)
        withUnsafeBytes(of: value) { message.attribute(attribute.rawValue, $0) }
        try socket.request(message.bytes, acknowledgements: 1)
    }

    private static func message(_ type: nfqnl_msg_types, _ queue: UInt16, flags: Int32 = 0) -> NetlinkMessage {
        var message = NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_QUEUE << 8) | UInt16(type.rawValue), flags: flags)
        message.append(
            nfgenmsg(
                nfgen_family: UInt8(AF_UNSPEC), version: UInt8(NFNETLINK_V0), res_id: queue.bigEndian))
        return message
    }
}

// MARK: - Reading

extension PacketQueue {
    /// A packet of any kind that waits, from its IP header on.
    struct Packet {
        var number: UInt32 = 0
        var mark: UInt32 = 0
        var content: [UInt8] = []
        /// Whether that is all of it.
        var isWhole = true
    }

    fileprivate static func packet(_ header: nlmsghdr, _ payload: RawSpan) -> Packet? {
        guard header.nlmsg_type == UInt16(NFNL_SUBSYS_QUEUE << 8) | UInt16(NFQNL_MSG_PACKET.rawValue) else {
            return nil
        }
        var packet = Packet()
        var isNumbered = false
        payload.eachAttribute(behind: MemoryLayout<nfgenmsg>.size) { type, value in
            switch UInt32(type) {
            case NFQA_PACKET_HDR.rawValue where value.byteCount >= 4:
                packet.number = UInt32(bigEndian: value.unsafeLoadUnaligned(as: UInt32.self))
                isNumbered = true
            case NFQA_MARK.rawValue where value.byteCount >= 4:
                packet.mark = UInt32(bigEndian: value.unsafeLoadUnaligned(as: UInt32.self))
            case NFQA_PAYLOAD.rawValue:
                packet.content = value.withUnsafeBytes { Array($0) }
            // Its length, where it is longer than the snapshot.
            case NFQA_CAP_LEN.rawValue: packet.isWhole = false
            default: break
            }
        }
        return isNumbered ? packet : nil
    }
}

extension PacketQueue.HeldPacket {
    fileprivate init?(_ packet: PacketQueue.Packet) {
        guard let (source, destination) = PacketHeaders.addresses(of: packet.content) else { return nil }
        self.init(
            number: packet.number, mark: packet.mark, source: source, destination: destination, headers: packet.content)
    }
}
