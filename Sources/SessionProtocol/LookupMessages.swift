/// LOOKUP: asks for the addresses of a name, as the acceptor's resolver has them. It is the first frame of a link that carries nothing
/// else; the answer is FOUND or REFUSED.
public struct LookupMessage: Hashable, Sendable {
    /// A name in DNS has 253 characters at most (RFC 1035, 2.3.4, without the length of the root).
    public static let maximumName = 253

    /// Visible ASCII characters.
    public let name: String
    /// Where the opener wants to connect then: it is told addresses that it may open sessions to, and no others.
    public let port: UInt16

    /// Nil for what is no name.
    public init?(name: String, port: UInt16) {
        self.init(bytes: Array(name.utf8), port: port)
    }

    private init?(bytes: [UInt8], port: UInt16) {
        guard !bytes.isEmpty, bytes.count <= Self.maximumName, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            return nil
        }
        name = String(decoding: bytes, as: UTF8.self)
        self.port = port
    }

    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.name, [UInt8(port >> 8), UInt8(port & 0xff)] + Array(name.utf8))
        return writer.finish(FrameHeader(type: .lookup))
    }

    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .lookup)
        var message: LookupMessage?
        while let item = try reader.next() {
            switch item.type {
            case .name:
                let port = item.value.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }
                message = LookupMessage(bytes: Array(item.value.dropFirst(2)), port: port)
                guard message != nil else { throw .malformed(.lookup) }
            case .session, .keyShare, .destination, .transportProtocol, .linkNumber, .epoch, .received, .instance,
                .suspendLimit, .code, .text, .finalPositions, .addresses, .proof:
                continue
            }
        }
        guard let message else { throw .malformed(.lookup) }
        self = message
    }
}

/// FOUND: the addresses of a name.
public struct FoundMessage: Hashable, Sendable {
    public static let maximumAddresses = 64

    /// 4 or 16 bytes each, in network byte order; in the order in which they should be tried.
    public let addresses: [[UInt8]]

    /// Nil without an address, and for what is none. Of more than ``maximumAddresses``, the first count.
    public init?(addresses: [[UInt8]]) {
        guard !addresses.isEmpty, addresses.allSatisfy({ $0.count == 4 || $0.count == 16 }) else { return nil }
        self.addresses = Array(addresses.prefix(Self.maximumAddresses))
    }

    public var encoded: [UInt8] {
        var value: [UInt8] = []
        for address in addresses { value += [UInt8(address.count)] + address }
        var writer = ItemWriter()
        writer.append(.addresses, value)
        return writer.finish(FrameHeader(type: .found))
    }

    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .found)
        var message: FoundMessage?
        while let item = try reader.next() {
            switch item.type {
            case .addresses: message = try Self.read(item.value)
            case .session, .keyShare, .destination, .transportProtocol, .linkNumber, .epoch, .received, .instance,
                .suspendLimit, .code, .text, .finalPositions, .name, .proof:
                continue
            }
        }
        guard let message else { throw .malformed(.found) }
        self = message
    }

    private static func read(_ value: ArraySlice<UInt8>) throws(FrameError) -> FoundMessage {
        var (rest, addresses) = (value, [[UInt8]]())
        while let length = rest.popFirst() {
            guard rest.count >= Int(length), addresses.count < maximumAddresses else { throw .malformed(.found) }
            addresses.append(Array(rest.prefix(Int(length))))
            rest = rest.dropFirst(Int(length))
        }
        guard let message = FoundMessage(addresses: addresses) else { throw .malformed(.found) }
        return message
    }
}
