import CLinux
import Kernel
import SystemPackage

/// A network of one host, which this process enters: every address is on its loopback interface (AnyIP), and what it has as
/// its own are those of the machine outside.
///
/// For an ordinary user, it belongs to a user namespace of its own, in which this process may do everything and which the program
/// never enters (user_namespaces(7)).
enum PrivateNamespace {
    /// A step that failed, for people.
    struct Failure: Error, CustomStringConvertible {
        let step: String
        let code: Errno

        var description: String { "\(step): \(code)" }
    }

    /// Index of the loopback interface of every network namespace (in the kernel, LOOPBACK_IFINDEX).
    private static let loopback: Int32 = 1

    /// Of IPv6, with its header (RFC 8200, 3). The interface comes with 65536.
    private static let largestPacket: UInt32 = 65_535 + 40

    /// Makes it, and moves this process there, which has one thread only.
    ///
    /// - Parameter withDatagrams: whether the largest datagram shall be one packet.
    static func enter(_ host: HostAddresses, withDatagrams: Bool) throws(Failure) {
        let (user, group) = (geteuid(), getegid())
        try step("make a user namespace and a network namespace") { () throws(Errno) in
            try check(unshare(CLONE_NEWUSER | CLONE_NEWNET))
        }
        try step("map the user into its namespace") { () throws(Errno) in
            try write("deny", to: "/proc/self/setgroups")
            try write("\(user) \(user) 1", to: "/proc/self/uid_map")
            try write("\(group) \(group) 1", to: "/proc/self/gid_map")
        }
        try step("set up the loopback interface") { () throws(Errno) in
            let socket = try NetlinkSocket(NETLINK_ROUTE)
            try request(interfaceUp(packetSize: withDatagrams ? largestPacket : nil), over: socket)
            // Addresses of local routes are not addresses of this machine, to bind(2) and others, only where the tables are apart.
            try request(rule, over: socket)
            for network in host.networks { try request(address(network.address), over: socket) }
            for network in host.networks {
                try request(route(network.address.family, network, from: network.address), over: socket)
            }
            for family in [AF_INET, AF_INET6] {
                try request(route(family, nil, from: host.source(family: family)), over: socket)
            }
        }
    }

    private static func step(_ name: String, _ body: () throws(Errno) -> Void) throws(Failure) {
        do throws(Errno) { try body() } catch { throw Failure(step: name, code: error) }
    }

    private static func write(_ text: String, to path: String) throws(Errno) {
        let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CLOEXEC, 0)))
        let number = file.number
        var text = text
        try check(text.withUTF8 { CLinux.write(number, $0.baseAddress, $0.count) })
    }

    // MARK: - rtnetlink(7)

    private static func request(_ message: NetlinkMessage, over socket: borrowing NetlinkSocket) throws(Errno) {
        do throws(Errno) {
            try socket.request(message.bytes, acknowledgements: 1)
        } catch .fileExists {
            // Two addresses of one network.
        } catch .addressFamilyNotSupported, .notSupportedOnSocket {
            // A kernel without IPv6.
        }
    }

    private static func interfaceUp(packetSize: UInt32?) -> NetlinkMessage {
        var message = NetlinkMessage(type: UInt16(RTM_NEWLINK), flags: NLM_F_ACK)
        let up = UInt32(IFF_UP)
        message.append(
            ifinfomsg(
                ifi_family: UInt8(AF_UNSPEC), __ifi_pad: 0, ifi_type: 0, ifi_index: loopback, ifi_flags: up,
                ifi_change: up))
        if let packetSize { message.attribute(IFLA_MTU, integer: packetSize) }
        return message
    }

    private static func address(_ host: SocketAddress.Host) -> NetlinkMessage {
        var message = NetlinkMessage(type: UInt16(RTM_NEWADDR), flags: NLM_F_ACK | NLM_F_CREATE)
        message.append(
            ifaddrmsg(
                ifa_family: UInt8(host.family), ifa_prefixlen: UInt8(host.networkBytes.count * 8),
                ifa_flags: UInt8(IFA_F_NODAD), ifa_scope: UInt8(RT_SCOPE_UNIVERSE.rawValue),
                ifa_index: UInt32(loopback)))
        message.attribute(IFA_LOCAL, host.networkBytes)
        message.attribute(IFA_ADDRESS, host.networkBytes)
        return message
    }

    /// A rule like the kernel's own for the main table, which parts it from the local one (in the kernel, fib_unmerge).
    private static var rule: NetlinkMessage {
        var message = NetlinkMessage(type: UInt16(RTM_NEWRULE), flags: NLM_F_ACK | NLM_F_CREATE)
        message.append(
            rtmsg(
                rtm_family: UInt8(AF_INET), rtm_dst_len: 0, rtm_src_len: 0, rtm_tos: 0,
                rtm_table: UInt8(RT_TABLE_MAIN.rawValue), rtm_protocol: 0, rtm_scope: 0,
                // FR_ACT_TO_TBL (linux/fib_rules.h) is RTN_UNICAST here.
                rtm_type: UInt8(RTN_UNICAST), rtm_flags: 0))
        return message
    }

    private static func route(
        _ family: Int32, _ network: HostAddresses.Network?, from source: SocketAddress.Host
    ) -> NetlinkMessage {
        var message = NetlinkMessage(type: UInt16(RTM_NEWROUTE), flags: NLM_F_ACK | NLM_F_CREATE)
        message.append(
            rtmsg(
                rtm_family: UInt8(family), rtm_dst_len: network?.prefixLength ?? 0, rtm_src_len: 0, rtm_tos: 0,
                rtm_table: UInt8(RT_TABLE_MAIN.rawValue), rtm_protocol: UInt8(RTPROT_STATIC),
                rtm_scope: UInt8(RT_SCOPE_HOST.rawValue), rtm_type: UInt8(RTN_LOCAL), rtm_flags: 0))
        if let network { message.attribute(RTA_DST.rawValue, network.prefixBytes) }
        message.attribute(RTA_OIF.rawValue, integer: loopback)
        // Without it, a connection would come from where it goes (in the kernel, ip_route_output_key_hash_rcu).
        message.attribute(RTA_PREFSRC.rawValue, source.networkBytes)
        return message
    }
}

extension HostAddresses.Network {
    /// The address of the network itself: the kernel refuses a route with more bits (in the kernel, fib_valid_key_len).
    fileprivate var prefixBytes: [UInt8] {
        address.networkBytes.enumerated().map { index, byte in
            let kept = min(8, max(0, Int(prefixLength) - index * 8))
            return byte & UInt8(truncatingIfNeeded: 0xff00 >> kept)
        }
    }
}
