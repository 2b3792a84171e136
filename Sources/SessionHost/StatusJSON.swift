import CLinux
import Engine
import Kernel
import SessionProtocol
import SystemPackage
public import Transport

/// The JSON of `usl status --json`, for the sessions of one process.
public enum StatusJSON {
    /// - Parameters:
    ///   - strangers: of a gateway, what those hold who have proven nothing.
    ///   - clientName: of a gateway, what is known of who holds a key.
    public static func encode(
        _ reports: [ProgramReport], _ strangers: StrangerReport? = nil,
        clientName: (Fingerprint) -> String? = { _ in nil }
    ) -> String {
        let sessions = reports.sorted { $0.session.since < $1.session.since }.map { encode($0, clientName) }
        let gateway = strangers.map { [("gateway", encode($0))] } ?? []
        return object([("sessions", "[" + sessions.joined(separator: ",") + "]")] + gateway) + "\n"
    }

    private static func encode(_ report: ProgramReport, _ clientName: (Fingerprint) -> String?) -> String {
        let session = report.session
        let fields: [(String, String)] = [
            ("id", JSONText.quoted(session.id.hex)),
            ("role", JSONText.quoted(session.role == .opener ? "agent" : "gateway")),
            ("program", report.program.map(JSONText.quoted) ?? "null"),
            ("peer", session.peer.map { JSONText.quoted($0.description) } ?? "null"),
            ("client", session.peerKey.flatMap(clientName).map(JSONText.quoted) ?? "null"),
            ("destination", JSONText.quoted(session.destination.description)),
            ("state", JSONText.quoted(session.state.rawValue)),
            ("reason", session.reason.map(JSONText.quoted) ?? "null"),
            ("since", JSONText.quoted(Timestamp.text(seconds: session.since))),
            ("expires", session.expires.map { JSONText.quoted(Timestamp.text(seconds: $0)) } ?? "null"),
            ("suspend_limit", "\(session.suspendLimit.seconds)"),
            ("bytes", object([("sent", "\(session.sent)"), ("received", "\(session.received)")])),
            ("replay", object([("bytes", "\(session.replayBytes)"), ("limit", "\(session.replayLimit)")])),
            ("links", "[" + session.links.map(encode).joined(separator: ",") + "]"),
            ("reconnects", "\(session.reconnects)"),
        ]
        let history = report.events.map { [("history", "[" + $0.map(encode).joined(separator: ",") + "]")] } ?? []
        return object(fields + history)
    }

    private static func encode(_ recent: SessionReport.RecentEvent) -> String {
        let (name, failure, after) = recent.event.parts
        var fields = [
            (
                "at",
                JSONText.quoted(Timestamp.text(seconds: Int(recent.at / 1000), milliseconds: Int(recent.at % 1000)))
            ),
            ("event", JSONText.quoted(name)), ("count", "\(recent.count)"),
        ]
        if let failure {
            fields.append(("reason", JSONText.quoted(failure.reason)))
            if case .socket(let code) = failure {
                fields.append(("error", JSONText.quoted("\(Errno(rawValue: code))")))
            }
        }
        if let after { fields.append(("after_ms", milliseconds(after))) }
        return object(fields)
    }

    private static func encode(_ link: SessionReport.LinkReport) -> String {
        object([
            ("local", link.local.map { JSONText.quoted($0.description) } ?? "null"),
            ("remote", JSONText.quoted(link.remote.description)),
            ("state", JSONText.quoted(link.state)),
            ("rtt_ms", link.roundTrip.map(milliseconds) ?? "null"),
            ("source", link.source.map(JSONText.quoted) ?? "null"),
            ("transport", JSONText.quoted(link.transport.rawValue)),
            ("security", JSONText.quoted(link.security.rawValue)),
            ("resumed", link.isResumed.map { "\($0)" } ?? "null"),
        ])
    }

    static func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\"\($0.0)\":\($0.1)" }.joined(separator: ",") + "}"
    }

    /// Milliseconds with three decimals.
    private static func milliseconds(_ interval: Interval) -> String {
        let micros = interval.nanoseconds / 1_000
        let fraction = String(micros % 1_000)
        return "\(micros / 1_000)." + String(repeating: "0", count: 3 - fraction.utf8.count) + fraction
    }
}

extension SessionHistory.Event {
    /// Its word in the status, with what there is to say of it. All are listed in docs/status.md.
    fileprivate var parts: (name: String, failure: LinkFailure?, after: Interval?) {
        switch self {
        case .opened: ("opened", nil, nil)
        case .restored: ("restored", nil, nil)
        case .dialFailed(let failure): ("dial-failed", failure, nil)
        case .linkLost(let failure): ("link-lost", failure, nil)
        case .suspended: ("suspended", nil, nil)
        case .silent: ("silent", nil, nil)
        case .resumed(let after): ("resumed", nil, after)
        case .switched: ("switched", nil, nil)
        case .networkChanged: ("network-changed", nil, nil)
        case .closing: ("closing", nil, nil)
        }
    }
}
