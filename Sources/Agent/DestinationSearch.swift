import CLinux
import Engine
public import Kernel
public import Policy
import Rendezvous
public import SessionProtocol
import SystemPackage
public import Transport

/// `usl detect`: asks as an agent does, with what agents have found, and tells how the answer came about.
public enum DestinationSearch {
    public struct Finding: Sendable {
        public enum Way: String, Sendable {
            case port
            case probe
            /// It did not answer, and its key is known.
            case known
        }

        public let destination: SocketAddress
        /// Of the answer that decided; nil if nothing was asked.
        public let way: Way?
        /// None: an ordinary peer.
        public let gateways: [SocketAddress]
        /// The key that the first of them has shown now, or is known by.
        public let key: Fingerprint?
        /// When this was found before, until when it holds, in seconds since 1970.
        public let until: UInt64?
        /// What the program's user would be told.
        public let remarks: [String]
        public let duration: Interval
    }

    /// Asks for all destinations at once, in the order of which the findings come.
    ///
    /// - Throws: where this process lacks descriptors or memory.
    public static func run(
        _ destinations: [(address: SocketAddress, mode: DetectionMode)], _ options: AgentOptions,
        explain: @escaping (String) -> Void
    ) throws -> [Finding] {
        let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
        let trust = GatewayTrust(options, on: loop, .init(tell: explain, alarm: explain))
        let detection = Detection(
            isPlain: options.isPlain, trust: trust,
            store: DetectionStore(in: options.state, on: loop, explain: explain), on: loop)
        var findings: [Int: Finding] = [:]
        for (index, (destination, mode)) in destinations.enumerated() {
            let start = ContinuousClock.now
            detection.look(at: destination, mode) { outcome in
                findings[index] = Finding(
                    destination, outcome, known: { trust.known("\($0)") }, took: ContinuousClock.now - start)
                if findings.count == destinations.count { loop.stop() }
            }
        }
        if findings.count < destinations.count { loop.run() }
        return findings.sorted { $0.key < $1.key }.map(\.value)
    }
}

extension DestinationSearch.Finding {
    fileprivate init(
        _ destination: SocketAddress, _ outcome: Detection.Outcome, known: (SocketAddress) -> Fingerprint?,
        took duration: Duration
    ) {
        self.destination = destination
        gateways = outcome.gateways
        switch outcome.answer?.question.way {
        case .port: way = .port
        case .probe: way = .probe
        case nil: way = outcome.gateways.isEmpty ? nil : .known
        }
        key = outcome.answer?.key ?? outcome.gateways.first.flatMap(known)
        until = outcome.answer?.until
        remarks = outcome.remarks
        self.duration = Interval(duration)
    }
}
