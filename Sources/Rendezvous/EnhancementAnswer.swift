/// What a front answers to an in-band probe: the enhancements that its port has. docs/protocol.md, "Detection in-band", has the
/// format.
public struct EnhancementAnswer: Equatable, Sendable {
    /// A gateway that takes sessions to the probed port: an item `usl/1`.
    public struct Gateway: Equatable, Sendable {
        public let port: UInt16
        /// Whether its links are TLS, but for those on loopback.
        public let isTLS: Bool
        /// A numeric address, whose characters alone have been checked; nil: the host that was probed.
        public let address: String?

        public init(port: UInt16, isTLS: Bool, address: String? = nil) {
            self.port = port
            self.isTLS = isTLS
            self.address = address
        }
    }

    /// How far an answer has come.
    public enum Reading: Equatable, Sendable {
        /// It may become one.
        case incomplete
        case complete(EnhancementAnswer)
        /// It begins as no answer does: an ordinary server speaks first.
        case foreign
        /// It begins as an answer does, and is none.
        case malformed
    }

    /// Bytes of a whole answer at most. It travels in a segment or two, and nobody has to keep more of somebody who has proven
    /// nothing.
    public static let maximumSize = 1024
    static let firstLine = Array("USL/EDP 1".utf8)
    private static let lineFeed = UInt8(ascii: "\n")
    private static let space = UInt8(ascii: " ")

    /// In the order in which they are to be tried.
    public let gateways: [Gateway]

    public init(gateways: [Gateway]) { self.gateways = gateways }

    // MARK: - Writing

    public var encoded: [UInt8] {
        var text = String(decoding: Self.firstLine, as: UTF8.self) + "\n"
        for gateway in gateways {
            text += "usl/1 port=\(gateway.port) security=\(gateway.isTLS ? "tls" : "plain")"
            text += gateway.address.map { " address=\($0)\n" } ?? "\n"
        }
        return Array((text + "\n").utf8)
    }

    // MARK: - Reading

    /// Reads everything that has come so far. An empty line ends an answer: what is cut short is none.
    public static func read(_ bytes: [UInt8]) -> Reading {
        let opening = firstLine + [lineFeed]
        guard bytes.starts(with: opening) else { return opening.starts(with: bytes) ? .incomplete : .foreign }
        var gateways: [Gateway] = []
        var rest = bytes[opening.count...]
        while let end = rest.firstIndex(of: lineFeed) {
            let line = rest[..<end]
            rest = rest[(end + 1)...]
            guard end < maximumSize else { return .malformed }
            if line.isEmpty {
                return rest.isEmpty ? .complete(EnhancementAnswer(gateways: gateways)) : .malformed
            }
            guard let item = Item(line) else { return .malformed }
            switch item.meaning {
            case .gateway(let gateway): gateways.append(gateway)
            case .unknown: break
            case .nonsense: return .malformed
            }
        }
        return bytes.count < maximumSize && rest.allSatisfy(isPrintable) ? .incomplete : .malformed
    }

    private static func isPrintable(_ byte: UInt8) -> Bool { (space...UInt8(ascii: "~")).contains(byte) }

    /// A line: a name, and words `KEY=VALUE`, each behind one space.
    private struct Item {
        private let name: ArraySlice<UInt8>
        private var values: [String: String] = [:]

        /// nil if the line is none. Of unknown items and keys nothing but their form counts.
        init?(_ line: ArraySlice<UInt8>) {
            guard line.allSatisfy(EnhancementAnswer.isPrintable) else { return nil }
            let words = line.split(separator: EnhancementAnswer.space, omittingEmptySubsequences: false)
            guard words.allSatisfy({ !$0.isEmpty }) else { return nil }
            name = words[0]
            for word in words.dropFirst() {
                guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals > word.startIndex else { return nil }
                let key = String(decoding: word[..<equals], as: UTF8.self)
                let value = String(decoding: word[(equals + 1)...], as: UTF8.self)
                guard values.updateValue(value, forKey: key) == nil else { return nil }
            }
        }

        enum Meaning {
            case gateway(Gateway)
            /// What this version does not know, and cannot do.
            case unknown
            case nonsense
        }

        var meaning: Meaning {
            guard name.elementsEqual("usl/1".utf8) else { return .unknown }
            guard let port = values["port"].flatMap(Self.port), let security = values["security"] else {
                return .nonsense
            }
            let address = values["address"]
            if let address, !Self.isAddress(address) { return .nonsense }
            guard security == "tls" || security == "plain" else { return .unknown }
            return .gateway(Gateway(port: port, isTLS: security == "tls", address: address))
        }

        /// A number in digits alone: `UInt16.init` would take a sign as well.
        private static func port(_ text: String) -> UInt16? {
            guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), text.utf8.count <= 5,
                let port = UInt16(text), port > 0
            else { return nil }
            return port
        }

        /// The longest is an IPv6 address with an IPv4 one in it, 45 characters (`INET6_ADDRSTRLEN` in <netinet/in.h>). No zone:
        /// it would be one of the other host.
        private static func isAddress(_ text: String) -> Bool {
            (2...45).contains(text.utf8.count)
                && text.utf8.allSatisfy { byte in
                    switch byte {
                    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
                        UInt8(ascii: "A")...UInt8(ascii: "F"), UInt8(ascii: "."), UInt8(ascii: ":"):
                        true
                    default: false
                    }
                }
        }
    }
}
