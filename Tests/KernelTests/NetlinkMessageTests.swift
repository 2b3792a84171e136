import CLinux
import Kernel
import SystemPackage
import Testing

@Suite("NetlinkMessage")
struct NetlinkMessageTests {
    @Test("headers, attributes and their padding, byte for byte")
    func layout() {
        var message = NetlinkMessage(type: 0x1234, flags: NLM_F_ACK, sequence: 7)
        message.append(UInt16(0xabcd))
        message.attribute(3, [1, 2, 3, 4, 5])
        message.nested(4) { $0.attribute(1, text: "ab") }
        let little: [UInt8] = [
            44, 0, 0, 0, 0x34, 0x12, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0xcd, 0xab, 0, 0,
            // Lengths leave out the padding behind.
            9, 0, 3, 0, 1, 2, 3, 4, 5, 0, 0, 0, 12, 0, 4, 0x80, 7, 0, 1, 0, 97, 98, 0, 0,
        ]
        #expect(message.bytes == little)
    }

    @Test("the kernel answers a request, and tells its failure")
    func conversation() throws {
        let socket = try NetlinkSocket(NETLINK_ROUTE)
        var message = NetlinkMessage(type: UInt16(RTM_GETLINK), flags: NLM_F_ACK)
        message.append(
            ifinfomsg(ifi_family: 0, __ifi_pad: 0, ifi_type: 0, ifi_index: 1, ifi_flags: 0, ifi_change: 0))
        try socket.request(message.bytes, acknowledgements: 1)
        var unknown = NetlinkMessage(type: UInt16(RTM_GETLINK), flags: NLM_F_ACK)
        unknown.append(
            ifinfomsg(ifi_family: 0, __ifi_pad: 0, ifi_type: 0, ifi_index: .max, ifi_flags: 0, ifi_change: 0))
        #expect(throws: Errno(rawValue: ENODEV)) { try socket.request(unknown.bytes, acknowledgements: 1) }
    }
}
