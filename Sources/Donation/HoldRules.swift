import CLinux
import Kernel
import SystemPackage

/// What a packet's mark says. The lower bits belong to the process that the socket was made for.
enum PacketMark {
    static let processBits: UInt32 = 0x00ff_ffff
    static let fateBits: UInt32 = ~processBits

    /// What becomes of a SYN; none of them: it is held.
    enum Fate: UInt32 {
        /// On to the gate, whatever its destination.
        case gate = 0x0100_0000
        /// On to where it wants to go, in this namespace.
        case through = 0x0200_0000
        case reset = 0x0300_0000
        case hostUnreachable = 0x0400_0000
        case networkUnreachable = 0x0500_0000
        case prohibited = 0x0600_0000

        /// Of ICMP's type 3, destination unreachable (RFC 792, RFC 1812); nil for those that are none.
        var icmpCode: UInt8? {
            switch self {
            case .networkUnreachable: 0
            case .hostUnreachable: 1
            // `EHOSTUNREACH`: none becomes `EACCES` over IPv4 (in the kernel, icmp_err_convert).
            case .prohibited: 13
            case .gate, .through, .reset: nil
            }
        }
    }
}

/// The packet filter of a private namespace: SYNs are held until their fate is known (nft(8); in the kernel,
/// include/uapi/linux/netfilter/nf_tables.h). With nobody to ask, they are dropped.
struct HoldRules {
    /// The queue of held SYNs, and that of datagrams.
    static let (queue, datagramQueue): (UInt16, UInt16) = (0, 1)
    private static let table = "usl"
    /// Before and after which fate is decided.
    private static let (mangle, filter): (Int32, Int32) = (-150, 0)

    /// How SYNs get into the queue. Not every kernel that has the one has the other.
    private enum Queueing: CaseIterable {
        /// The expression of nf_tables (CONFIG_NFT_QUEUE).
        case native
        /// The target of xtables (CONFIG_NETFILTER_XT_TARGET_NFQUEUE) by way of CONFIG_NFT_COMPAT.
        case extended
    }

    private var bytes: [UInt8] = []
    private var sequence: UInt32 = 0
    /// Messages that ask for an acknowledgement.
    private var count = 0

    /// Installs the rules in this thread's network namespace.
    ///
    /// - Parameters:
    ///   - gate4, gate6: the ports of the gates.
    ///   - datagrams: those of the gates for datagrams that are too large for their queue; nil: datagrams are left alone.
    /// - Throws: `ENOENT` and the like where the kernel has no such rules.
    static func install(gate4: UInt16, gate6: UInt16?, datagrams: (UInt16, UInt16?)?) throws(Errno) {
        var failure = Errno.noSuchFileOrDirectory
        for queueing in Queueing.allCases {
            // A new one for each: others would have failures of the one before to read.
            let socket = try NetlinkSocket(NETLINK_NETFILTER)
            let rules = HoldRules(queueing, gate4: gate4, gate6: gate6, datagrams: datagrams)
            do throws(Errno) {
                return try socket.request(rules.bytes, acknowledgements: rules.count)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    private init(_ queueing: Queueing, gate4: UInt16, gate6: UInt16?, datagrams: (UInt16, UInt16?)?) {
        batch(NLMSG_MIN_TYPE)
        add(NFT_MSG_NEWTABLE) { $0.attribute(NFTA_TABLE_NAME.rawValue, text: Self.table) }
        chain("hold", hook: NF_INET_LOCAL_OUT, priority: Self.mangle)
        rule("hold") {
            Self.isSYN(&$0)
            Self.hasFate(0, &$0)
            Self.enqueue(queueing, Self.queue, &$0)
        }
        if datagrams != nil {
            rule("hold") {
                Self.load(NFT_META_L4PROTO, &$0)
                Self.compare([UInt8(IPPROTO_UDP)], &$0)
                Self.hasFate(0, &$0)
                Self.enqueue(queueing, Self.datagramQueue, &$0)
            }
        }
        chain("refuse", hook: NF_INET_LOCAL_OUT, priority: Self.filter)
        refuse(.reset, NFT_REJECT_TCP_RST)
        refuse(.hostUnreachable, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_HOST_UNREACH)
        refuse(.networkUnreachable, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_NO_ROUTE)
        refuse(.prohibited, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
        chain("gate", hook: NF_INET_PRE_ROUTING, priority: Self.mangle)
        gate(NFPROTO_IPV4, IPPROTO_TCP, port: gate4)
        if let gate6 { gate(NFPROTO_IPV6, IPPROTO_TCP, port: gate6) }
        if let (gate4, gate6) = datagrams {
            gate(NFPROTO_IPV4, IPPROTO_UDP, port: gate4)
            if let gate6 { gate(NFPROTO_IPV6, IPPROTO_UDP, port: gate6) }
        }
        // NFNL_MSG_BATCH_END (linux/netfilter/nfnetlink.h)
        batch(NLMSG_MIN_TYPE + 1)
    }

    // MARK: - Rules

    private mutating func refuse(
        _ fate: PacketMark.Fate, _ type: nft_reject_types, _ code: nft_reject_inet_code? = nil
    ) {
        rule("refuse") {
            Self.hasFate(fate.rawValue, &$0)
            Self.expression("reject", &$0) {
                $0.attribute(NFTA_REJECT_TYPE.rawValue, integer: type.rawValue.bigEndian)
                if let code { $0.attribute(NFTA_REJECT_ICMP_CODE.rawValue, integer: UInt8(code.rawValue)) }
            }
        }
    }

    /// The SYN finds the listener of the gate in place of one at its destination; everything behind it finds the connection by
    /// itself (in the kernel, Documentation/networking/tproxy.rst).
    private mutating func gate(_ family: some BinaryInteger, _ transport: some BinaryInteger, port: UInt16) {
        rule("gate") {
            Self.load(NFT_META_NFPROTO, &$0)
            Self.compare([UInt8(family)], &$0)
            Self.hasFate(PacketMark.Fate.gate.rawValue, &$0)
            Self.load(NFT_META_L4PROTO, &$0)
            Self.compare([UInt8(transport)], &$0)
            Self.expression("immediate", &$0) {
                $0.attribute(NFTA_IMMEDIATE_DREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
                $0.nested(NFTA_IMMEDIATE_DATA.rawValue) {
                    $0.attribute(NFTA_DATA_VALUE.rawValue, integer: port.bigEndian)
                }
            }
            Self.expression("tproxy", &$0) {
                // enum nft_tproxy_attributes (linux/netfilter/nf_tables.h), which Debian 12's headers lack.
                let (familyAttribute, portAttribute) = (1, 3)
                $0.attribute(familyAttribute, integer: UInt32(family).bigEndian)
                $0.attribute(portAttribute, integer: NFT_REG_1.rawValue.bigEndian)
            }
        }
    }

    private static func enqueue(_ queueing: Queueing, _ queue: UInt16, _ message: inout NetlinkMessage) {
        switch queueing {
        case .native:
            expression("queue", &message) {
                $0.attribute(NFTA_QUEUE_NUM.rawValue, integer: queue.bigEndian)
                $0.attribute(NFTA_QUEUE_TOTAL.rawValue, integer: UInt16(1).bigEndian)
            }
        case .extended:
            expression("target", &message) {
                $0.attribute(NFTA_TARGET_NAME.rawValue, text: "NFQUEUE")
                $0.attribute(NFTA_TARGET_REV.rawValue, integer: UInt32(0).bigEndian)
                // struct xt_NFQ_info (linux/netfilter/xt_NFQUEUE.h), padded as xtables pads (XT_ALIGN).
                let number = withUnsafeBytes(of: queue) { Array($0) }
                $0.attribute(NFTA_TARGET_INFO.rawValue, number + [UInt8](repeating: 0, count: 8 - number.count))
            }
        }
    }

    private static func isSYN(_ message: inout NetlinkMessage) {
        load(NFT_META_L4PROTO, &message)
        compare([UInt8(IPPROTO_TCP)], &message)
        // The flags of TCP's header (RFC 9293, 3.1).
        expression("payload", &message) {
            $0.attribute(NFTA_PAYLOAD_DREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
            $0.attribute(NFTA_PAYLOAD_BASE.rawValue, integer: NFT_PAYLOAD_TRANSPORT_HEADER.rawValue.bigEndian)
            $0.attribute(NFTA_PAYLOAD_OFFSET.rawValue, integer: UInt32(13).bigEndian)
            $0.attribute(NFTA_PAYLOAD_LEN.rawValue, integer: UInt32(1).bigEndian)
        }
        let (syn, ack): (UInt8, UInt8) = (0x02, 0x10)
        mask([syn | ack], &message)
        compare([syn], &message)
    }

    private static func hasFate(_ fate: UInt32, _ message: inout NetlinkMessage) {
        load(NFT_META_MARK, &message)
        // Marks are in the order of this machine.
        withUnsafeBytes(of: PacketMark.fateBits) { mask(Array($0), &message) }
        withUnsafeBytes(of: fate) { compare(Array($0), &message) }
    }

    // MARK: - Expressions

    private static func load(_ key: nft_meta_keys, _ message: inout NetlinkMessage) {
        expression("meta", &message) {
            $0.attribute(NFTA_META_KEY.rawValue, integer: key.rawValue.bigEndian)
            $0.attribute(NFTA_META_DREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
        }
    }

    private static func mask(_ bits: [UInt8], _ message: inout NetlinkMessage) {
        expression("bitwise", &message) {
            $0.attribute(NFTA_BITWISE_SREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
            $0.attribute(NFTA_BITWISE_DREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
            $0.attribute(NFTA_BITWISE_LEN.rawValue, integer: UInt32(bits.count).bigEndian)
            $0.nested(NFTA_BITWISE_MASK.rawValue) { $0.attribute(NFTA_DATA_VALUE.rawValue, bits) }
            $0.nested(NFTA_BITWISE_XOR.rawValue) {
                $0.attribute(NFTA_DATA_VALUE.rawValue, [UInt8](repeating: 0, count: bits.count))
            }
        }
    }

    private static func compare(_ value: [UInt8], _ message: inout NetlinkMessage) {
        expression("cmp", &message) {
            $0.attribute(NFTA_CMP_SREG.rawValue, integer: NFT_REG_1.rawValue.bigEndian)
            $0.attribute(NFTA_CMP_OP.rawValue, integer: NFT_CMP_EQ.rawValue.bigEndian)
            $0.nested(NFTA_CMP_DATA.rawValue) { $0.attribute(NFTA_DATA_VALUE.rawValue, value) }
        }
    }

    private static func expression(
        _ name: String, _ message: inout NetlinkMessage, _ content: (inout NetlinkMessage) -> Void
    ) {
        message.nested(NFTA_LIST_ELEM.rawValue) {
            $0.attribute(NFTA_EXPR_NAME.rawValue, text: name)
            $0.nested(NFTA_EXPR_DATA.rawValue, content)
        }
    }

    // MARK: - Messages

    private mutating func chain(_ name: String, hook: nf_inet_hooks, priority: Int32) {
        add(NFT_MSG_NEWCHAIN) {
            $0.attribute(NFTA_CHAIN_TABLE.rawValue, text: Self.table)
            $0.attribute(NFTA_CHAIN_NAME.rawValue, text: name)
            $0.attribute(NFTA_CHAIN_TYPE.rawValue, text: "filter")
            $0.nested(NFTA_CHAIN_HOOK.rawValue) {
                $0.attribute(NFTA_HOOK_HOOKNUM.rawValue, integer: hook.rawValue.bigEndian)
                $0.attribute(NFTA_HOOK_PRIORITY.rawValue, integer: priority.bigEndian)
            }
        }
    }

    private mutating func rule(_ chain: String, _ expressions: (inout NetlinkMessage) -> Void) {
        add(NFT_MSG_NEWRULE, flags: NLM_F_APPEND) {
            $0.attribute(NFTA_RULE_TABLE.rawValue, text: Self.table)
            $0.attribute(NFTA_RULE_CHAIN.rawValue, text: chain)
            $0.nested(NFTA_RULE_EXPRESSIONS.rawValue, expressions)
        }
    }

    private mutating func add(
        _ type: nf_tables_msg_types, flags: Int32 = 0, _ content: (inout NetlinkMessage) -> Void
    ) {
        var message = NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES << 8) | UInt16(type.rawValue), flags: NLM_F_CREATE | NLM_F_ACK | flags,
            sequence: sequence)
        message.append(nfgenmsg(nfgen_family: UInt8(NFPROTO_INET), version: UInt8(NFNETLINK_V0), res_id: 0))
        content(&message)
        append(message)
        count += 1
    }

    /// All between two of these is done, or nothing of it.
    private mutating func batch(_ type: Int32) {
        var message = NetlinkMessage(type: UInt16(type), sequence: sequence)
        message.append(
            nfgenmsg(
                nfgen_family: UInt8(AF_UNSPEC), version: UInt8(NFNETLINK_V0),
                res_id: UInt16(NFNL_SUBSYS_NFTABLES).bigEndian))
        append(message)
    }

    private mutating func append(_ message: NetlinkMessage) {
        bytes += message.bytes
        sequence += 1
    }
}
