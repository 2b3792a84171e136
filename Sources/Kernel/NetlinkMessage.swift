import CLinux

/// A message to the kernel over netlink, built from its front: a header, a structure of the message's kind, and attributes
/// (netlink(7)).
public struct NetlinkMessage {
    public private(set) var bytes: [UInt8] = []

    /// - Parameter flags: `NLM_F_REQUEST` goes without saying.
    public init(type: UInt16, flags: Int32 = 0, sequence: UInt32 = 0) {
        append(
            nlmsghdr(
                nlmsg_len: 0, nlmsg_type: type, nlmsg_flags: UInt16(NLM_F_REQUEST | flags), nlmsg_seq: sequence,
                nlmsg_pid: 0))
    }

    /// The structure behind the header.
    public mutating func append<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) { bytes += $0 }
        pad()
        setLength()
    }

    public mutating func attribute(_ type: some BinaryInteger, _ value: some Sequence<UInt8>) {
        nested(type, flag: 0) { $0.bytes += value }
    }

    /// An integer in the byte order that the caller has given it.
    public mutating func attribute(_ type: some BinaryInteger, integer value: some BitwiseCopyable & FixedWidthInteger)
    {
        withUnsafeBytes(of: value) { attribute(type, $0) }
    }

    /// Text with the zero at its end that the kernel expects.
    public mutating func attribute(_ type: some BinaryInteger, text: String) {
        attribute(type, Array(text.utf8) + [0])
    }

    /// An attribute of attributes.
    public mutating func nested(_ type: some BinaryInteger, _ content: (inout NetlinkMessage) -> Void) {
        nested(type, flag: UInt16(NLA_F_NESTED), content)
    }

    private mutating func nested(
        _ type: some BinaryInteger, flag: UInt16, _ content: (inout NetlinkMessage) -> Void
    ) {
        let start = bytes.count
        withUnsafeBytes(of: nlattr(nla_len: 0, nla_type: UInt16(type) | flag)) { bytes += $0 }
        content(&self)
        // Without its padding (in the kernel, nla_put).
        let length = UInt16(bytes.count - start)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, toByteOffset: start, as: UInt16.self) }
        pad()
        setLength()
    }

    private mutating func pad() { while bytes.count % 4 != 0 { bytes.append(0) } }

    private mutating func setLength() {
        let length = UInt32(bytes.count)
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: length, as: UInt32.self) }
    }
}
