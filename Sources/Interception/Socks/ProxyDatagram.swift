/// The header of a datagram between a client and its association (RFC 1928, section 7), and where its content begins.
///
///     RSV (2, zero)   FRAG   ATYP   DST.ADDR   DST.PORT (2)   DATA
public struct ProxyDatagram: Equatable, Sendable {
    /// No header is longer: one with a name of 255 bytes.
    public static let longestHeader = 3 + 1 + 1 + 255 + 2

    /// 0 for a datagram that stands for itself. Fragments are put together by nobody, which RFC 1928 leaves open.
    public let fragment: UInt8
    /// Where the content goes, or from where it has come.
    public let address: ProxyAddress
    /// How many bytes stand before the content.
    public let headerLength: Int

    /// Reads the header; nil if it is none, or not all of one.
    public init?(_ bytes: ArraySlice<UInt8>) {
        let rest = bytes.dropFirst(3)
        guard let first = rest.first, let kind = ProxyAddress.Kind(rawValue: first),
            bytes.prefix(2).allSatisfy({ $0 == 0 })
        else { return nil }
        let length: Int
        switch kind {
        case .v4: length = 1 + 4 + 2
        case .v6: length = 1 + 16 + 2
        case .name:
            guard let count = rest.dropFirst().first else { return nil }
            length = 1 + 1 + Int(count) + 2
        }
        guard rest.count >= length, let address = ProxyAddress(rest.prefix(length)) else { return nil }
        fragment = bytes[bytes.startIndex + 2]
        self.address = address
        headerLength = 3 + length
    }

    /// The header of what has come from there.
    public static func header(from address: ProxyAddress) -> [UInt8] { [0, 0, 0] + address.encoded }
}
