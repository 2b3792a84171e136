import Interception
import Kernel

/// The sessions of all agents and gateways of this user.
struct SessionFinder {
    /// One end of a session, and who has it.
    struct End {
        let entry: RuntimeDirectory.Entry
        let value: JSONValue
        let hex: String
        let name: SessionName
    }

    enum Failure: Error, Equatable, CustomStringConvertible {
        case noIdentifier(String)
        case unknown(String)
        case ambiguous(String, [String])
        case ended(String)

        var description: String {
            switch self {
            case .noIdentifier(let text): "'\(text)' is no identifier of a session; it has up to 32 hexadecimal digits"
            case .unknown(let text): "there is no session \(text); see usl status"
            case .ambiguous(let text, let all):
                "\(text) is the beginning of several sessions: \(all.joined(separator: ", "))"
            case .ended(let text): "session \(text) has just ended"
            }
        }
    }

    /// What a gateway says beside its sessions.
    struct Gateway {
        let process: Int32
        let value: JSONValue
    }

    let all: [End]
    let gateways: [Gateway]

    init(_ all: [End]) {
        self.all = all
        gateways = []
    }

    /// Asks everybody. Who does not answer is named on standard error and left out.
    init() throws {
        var all: [End] = []
        var gateways: [Gateway] = []
        for entry in try RuntimeDirectory(environment: variable).entries() {
            guard let answer = ControlClient.ask(.status, of: entry) else {
                Diagnostics.report("\(entry.role.rawValue) \(entry.process) does not answer")
                continue
            }
            all += (answer["sessions"]?.elements ?? []).compactMap { End(entry: entry, value: $0) }
            if let value = answer["gateway"] { gateways.append(Gateway(process: entry.process, value: value)) }
        }
        self.all = all
        self.gateways = gateways
    }

    /// The ends, here, of the one session whose identifier begins like this.
    func detail(of prefix: String) throws(Failure) -> [End] {
        let digits = prefix.lowercased()
        guard (1...32).contains(digits.utf8.count), digits.utf8.allSatisfy({ isHexadecimal($0) }) else {
            throw .noIdentifier(prefix)
        }
        let found = all.filter { $0.hex.hasPrefix(digits) }
        let identifiers = Set(found.map(\.hex)).sorted()
        if identifiers.isEmpty { throw .unknown(prefix) }
        if identifiers.count > 1 { throw .ambiguous(prefix, identifiers) }
        return found
    }

    private func isHexadecimal(_ digit: UInt8) -> Bool {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit || UInt8(ascii: "a")...UInt8(ascii: "f") ~= digit
    }
}

extension SessionFinder.End {
    /// nil if what an agent or gateway says of it has no identifier.
    init?(entry: RuntimeDirectory.Entry, value: JSONValue) {
        guard let hex = value["id"]?.plainText, hex.utf8.count == 32,
            let high = UInt64(hex.prefix(16), radix: 16), let low = UInt64(hex.suffix(16), radix: 16)
        else { return nil }
        self.init(entry: entry, value: value, hex: hex, name: SessionName(high: high, low: low))
    }
}
