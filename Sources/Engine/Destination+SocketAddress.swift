public import Kernel
public import SessionProtocol

extension Destination {
    /// The wire's form of an address.
    public init(_ address: SocketAddress) {
        let bytes: [UInt8] =
            switch address.host {
            case .v4(let word): (0..<4).map { UInt8(truncatingIfNeeded: word >> (24 - 8 * $0)) }
            case .v6(let high, let low, _):
                (0..<16).map { UInt8(truncatingIfNeeded: ($0 < 8 ? high : low) >> (56 - 8 * ($0 % 8))) }
            }
        guard let destination = Destination(address: bytes, port: address.port) else {
            preconditionFailure("an address has 4 or 16 bytes")
        }
        self = destination
    }

    /// The kernel's form.
    public var socketAddress: SocketAddress {
        let words = address.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if address.count == 4 { return SocketAddress(host: .v4(UInt32(truncatingIfNeeded: words)), port: port) }
        let low = address.suffix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return SocketAddress(host: .v6(high: words, low: low, scope: 0), port: port)
    }
}
