import Kernel

/// The header of the PROXY protocol, version 2, by which a server behind a gateway learns who its client is
/// (<https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt>, section 2.2).
enum ProxyHeader {
    private static let signature: [UInt8] = [
        0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a,
    ]
    /// Version 2; the command is PROXY.
    private static let versionAndCommand: UInt8 = 0x21
    private static let tcpOverIPv4: UInt8 = 0x11
    private static let tcpOverIPv6: UInt8 = 0x21

    /// What stands before the bytes of a connection over TCP: 28 bytes for IPv4, 52 for IPv6.
    ///
    /// The header has one family for both addresses. Where they differ, the IPv4 one becomes IPv4-mapped
    /// (RFC 4291, 2.5.5.2): a server that logs the client or decides by it then still learns the address, which it would not
    /// with `LOCAL` or `UNSPEC`.
    ///
    /// - Parameters:
    ///   - source: where the client's link comes from. An interface of a link-local address is not told.
    ///   - destination: what the client asked for.
    static func encode(source: SocketAddress, destination: SocketAddress) -> [UInt8] {
        let (source, destination) = (source.unmapped, destination.unmapped)
        let addresses: [UInt8]
        let family: UInt8
        if case .v4(let from) = source.host, case .v4(let to) = destination.host {
            family = tcpOverIPv4
            addresses = bytes(from) + bytes(to)
        } else {
            family = tcpOverIPv6
            addresses = wide(source.host) + wide(destination.host)
        }
        let block = addresses + bytes(source.port) + bytes(destination.port)
        return signature + [versionAndCommand, family] + bytes(UInt16(block.count)) + block
    }

    private static func wide(_ host: SocketAddress.Host) -> [UInt8] {
        switch host {
        case .v4(let address): bytes(UInt64(0)) + bytes(0xffff_0000_0000 | UInt64(address))
        case .v6(let high, let low, _): bytes(high) + bytes(low)
        }
    }

    private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
    }
}
