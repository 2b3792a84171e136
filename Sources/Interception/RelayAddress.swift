// Where the agent relays datagrams: what the preload library must know at sight, since a question for every datagram that
// arrives would cost too much. Both are built from this one file. No imports: the library is Embedded Swift.

/// The loopback addresses that stand for a destination of datagrams.
///
/// IPv4 has room for a network that nobody uses otherwise. IPv6 has one loopback address, and so ports tell: they are above those
/// that Linux hands out by itself (`net.ipv4.ip_local_port_range`, 32768 to 60999). An address in this place is possibly a relay's; whether
/// it is, the agent knows.
public enum RelayAddress {
    /// The first half of 127.117.0.0/16.
    public static var network: UInt16 { 127 << 8 | 117 }
    public static var ports: ClosedRange<UInt16> { 61_024...62_047 }

    /// Whether a `struct sockaddr_in` or `sockaddr_in6` may be a relay's, IPv4-mapped too. Looks at as many of its bytes as there are.
    @inline(__always)
    public static func mayBe(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= 8 else { return false }
        // AF_INET and AF_INET6, linux/socket.h.
        switch bytes.loadUnaligned(as: UInt16.self) {
        case 2: return isNetwork(bytes, at: 4)
        case 10: return bytes.count >= 24 && isLoopbackV6(bytes)
        default: return false
        }
    }

    private static func isLoopbackV6(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self) == 0 else { return false }
        switch UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self)) {
        // RFC 4291, 2.5.5.2
        case 0xffff: return isNetwork(bytes, at: 20)
        case 0:
            return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self)) == 1
                && ports.contains(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        default: return false
        }
    }

    private static func isNetwork(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)) == network
    }
}
