import Kernel

/// What a program sends over UDP.
struct Datagram {
    let source: SocketAddress
    let destination: SocketAddress
    let content: ArraySlice<UInt8>
    /// How many routers it may pass: the TTL of IPv4, the hop limit of IPv6. nil: as many as the kernel says.
    var hops: UInt8?
    /// The TOS of IPv4 and its like.
    var trafficClass: UInt8 = 0
}

/// Why a datagram has not arrived: what a message of ICMP says about it (RFC 792, RFC 4443).
struct DatagramFailure: Equatable {
    /// Where the datagram should have gone.
    var destination: SocketAddress
    let type: UInt8
    let code: UInt8
    /// Who says so; nil: the destination, or this machine.
    var author: SocketAddress.Host?
}
