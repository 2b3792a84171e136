import CLinux
import Kernel
import SystemPackage

/// Sends what makes connect(2) over IPv4 end with `EHOSTUNREACH` and the like: a message of ICMP about its SYN (RFC 792).
///
/// The packet filter cannot: its messages come from the address that was asked for, and over IPv4 the kernel sends nothing from
/// an address that is not its own (in the kernel, icmp_route_lookup).
struct UnreachableNotice: ~Copyable {
    private let socket: Descriptor

    /// For this thread's network namespace.
    init() throws(Errno) {
        let type = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        socket = Descriptor(owning: try check(CLinux.socket(AF_INET, type, Int32(IPPROTO_ICMP))))
    }

    /// - Parameters:
    ///   - code: of ICMP's type 3.
    ///   - headers: the SYN's IP header, and as much of what is behind it as there is.
    ///   - source: where the SYN came from.
    borrowing func send(_ code: UInt8, about headers: [UInt8], to source: SocketAddress) throws(Errno) {
        let unreachable: UInt8 = 3
        var message = [unreachable, code, 0, 0, 0, 0, 0, 0] + headers
        var checksum = InternetChecksum()
        checksum.add(message)
        let sum = checksum.value
        message[2] = UInt8(sum >> 8)
        message[3] = UInt8(sum & 0xff)
        let number = socket.number
        try source.with(port: 0).withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(
                message.withUnsafeBytes { usl_sendto_call(number, $0.baseAddress, $0.count, 0, pointer, length) })
        }
    }
}
