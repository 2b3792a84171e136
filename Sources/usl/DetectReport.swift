import Agent
import Kernel
import Policy
import SessionProtocol

/// What `usl detect` says of one address.
struct DetectReport {
    private let destination: SocketAddress
    private let gateways: [String]
    private let how: How
    private let key: String?
    private let until: UInt64?
    private let remarks: [String]
    private let duration: Interval?

    private enum How {
        case asked(DestinationSearch.Finding.Way?)
        case policy(Verdict)

        /// For programs.
        var word: String? {
            switch self {
            case .asked(let way): way?.rawValue
            case .policy: "policy"
            }
        }
    }

    init(_ finding: DestinationSearch.Finding) {
        destination = finding.destination
        gateways = finding.gateways.map(\.description)
        how = .asked(finding.way)
        key = finding.key?.description
        until = finding.until
        remarks = finding.remarks
        duration = finding.duration
    }

    /// Nothing was asked, since a rule decides.
    init(_ destination: SocketAddress, _ verdict: Verdict) {
        self.destination = destination
        gateways = verdict.treatment == .session ? verdict.gateway.map { [$0.description] } ?? [] : []
        how = .policy(verdict)
        key = verdict.pin
        until = nil
        remarks = []
        duration = nil
    }

    var isFound: Bool { !gateways.isEmpty }

    /// A line, and one for each further thing to know.
    var text: String {
        let finding = isFound ? "gateway \(gateways.joined(separator: ", "))" : "no gateway"
        var lines = ["\(destination): \(finding) (\(origin))\(duration.map { ", \($0.text)" } ?? "")"]
        if let key { lines.append("  key \(key)") }
        lines += remarks.map { "  \($0)" }
        return lines.joined(separator: "\n")
    }

    private var origin: String {
        let words: String
        switch how {
        case .asked(.port): words = "gateway port"
        case .asked(.probe): words = isFound ? "in-band probe" : "gateway port and in-band probe"
        case .asked(.known): words = "known by its key, and not as it answers now"
        case .asked(nil): words = "not asked"
        case .policy(let verdict):
            let treatment = isFound ? "" : ", \(verdict.treatment.rawValue)"
            words = "policy, \(verdict.origin?.description ?? "without a rule")\(treatment)"
        }
        return words + (until.map { ", cached until \(Timestamp.text(seconds: Int(clamping: $0)))" } ?? "")
    }

    var json: JSONValue {
        func text(_ value: String?) -> JSONValue { value.map { .string($0) } ?? .null }
        return .object([
            .init(name: "destination", value: .string("\(destination)")), .init(name: "found", value: .bool(isFound)),
            .init(name: "how", value: text(how.word)),
            .init(name: "cached_until", value: text(until.map { Timestamp.text(seconds: Int(clamping: $0)) })),
            .init(name: "gateways", value: .array(gateways.map { .string($0) })),
            .init(name: "fingerprint", value: text(key)),
            .init(name: "remarks", value: .array(remarks.map { .string($0) })),
            .init(name: "us", value: duration.map { .number("\($0.nanoseconds / 1000)") } ?? .null),
        ])
    }
}
