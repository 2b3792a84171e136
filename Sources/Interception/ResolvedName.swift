public import Kernel

/// A name, and the addresses that an application's resolver gave for it.
public struct ResolvedName: Equatable, Sendable {
    /// As ``canonical(_:)`` writes it.
    public let name: String
    /// At most 64, in the resolver's order, each once.
    public let addresses: [SocketAddress.Host]

    public init(name: String, addresses: [SocketAddress.Host]) {
        self.name = name
        self.addresses = addresses
    }

    /// Nil for a name that has a byte in it which no name has: it may be shown to people.
    init?(_ message: ResolvedMessage) {
        var bytes: [UInt8] = []
        message.forEachNameByte { bytes.append($0) }
        guard let name = Self.canonical(String(decoding: bytes, as: UTF8.self)) else { return nil }
        var addresses: [SocketAddress.Host] = []
        message.forEachAddress {
            let host = SocketAddress.Host($0)
            if !addresses.contains(host) { addresses.append(host) }
        }
        self.init(name: name, addresses: addresses)
    }

    /// The spelling by which names are compared: in lower case (RFC 4343) and without the dot that stands for the root. Nil if
    /// nothing is left, or for spaces and control characters.
    public static func canonical(_ name: String) -> String? {
        let text = name.lowercased()
        let canonical = text.last == "." ? String(text.dropLast()) : text
        let isSound = canonical.unicodeScalars.allSatisfy { $0.value > 0x20 && !(0x7f...0x9f).contains($0.value) }
        return canonical.isEmpty || !isSound ? nil : canonical
    }
}

extension SocketAddress.Host {
    /// An IPv4-mapped address is the IPv4 address.
    fileprivate init(_ address: ResolvedAddress) {
        switch address {
        case .v4(let address): self = .v4(address)
        case .v6(let high, let low, let scope):
            self = Self.v6(high: high, low: low, scope: scope).unmapped
        }
    }
}
