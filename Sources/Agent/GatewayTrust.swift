import CLinux
import Engine
import Kernel
import SessionHost
import Transport
import Trust

/// Which gateways are the right ones, and what this end proves to them. On the main loop.
///
/// A gateway is known by the name that the user gave it, and by its key, never by an address: a name keeps its key wherever it
/// leads.
final class GatewayTrust {
    /// Lines for people: about a key that is remembered, and about one that is refused.
    struct Voice {
        let tell: (String) -> Void
        let alarm: (String) -> Void
    }

    private let state: StateDirectory
    /// Of `--pin`: the one key that is accepted, whatever is known.
    private let pin: Fingerprint?
    private let loop: EventLoop
    private let voice: Voice
    private var context: TLSContext?
    private let fastOpening = FastOpening()
    /// By the names of gateways, and the keys that alone are accepted: a ticket stands for a key that was.
    private var tickets: [TicketOwner: TicketStore] = [:]

    private struct TicketOwner: Hashable {
        let name: String
        let pin: Fingerprint?
    }

    init(_ options: AgentOptions, on loop: EventLoop, _ voice: Voice) {
        state = options.state
        pin = options.pin
        self.loop = loop
        self.voice = voice
    }

    /// How links to a gateway are made safe.
    ///
    /// - Parameters:
    ///   - name: HOST:PORT as the user wrote it, or the address where it was found.
    ///   - pin: the one key that is accepted; nil: the one that is known.
    /// - Throws: where this end has no key of its own, or cannot tell which ones it knows.
    func dialling(to name: String, pin: Fingerprint?) throws -> TLSDialling {
        let known = try pin ?? knownKey(of: name)
        let owner = TicketOwner(name: name, pin: pin)
        let tickets = tickets[owner] ?? TicketStore()
        self.tickets[owner] = tickets
        let (pins, main, me) = (PinStore(in: state), loop.mailbox, LoopBound(self, on: loop))
        return TLSDialling(
            try ownContext(), tickets, fastOpening, accepting: known.map { .only([$0]) } ?? .any
        ) { found in
            let meeting = Result { try pins.meet(found, of: name, date: Timestamp.text(seconds: time(nil))) }
            main.post { me.on($0).met(name, found, meeting) }
            switch meeting {
            case .success(.known), .success(.new): return true
            case .success(.changed), .success(.unclear), .failure: return false
            }
        } failed: { failure in
            guard case .keyRefused(let found) = failure, let known else { return }
            main.post { me.on($0).refused(found, of: name, insteadOf: known, isPinned: pin != nil) }
        }
    }

    /// Whether `--pin` gives the key of whatever gateway it is.
    var takesOneKeyOnly: Bool { pin != nil }

    /// Whether a key is known under that name, or something that cannot be read.
    func knows(_ name: String) -> Bool {
        do { return try knownKey(of: name) != nil } catch { return true }
    }

    /// The key that is known under that name, if it can be read.
    func known(_ name: String) -> Fingerprint? { (try? knownKey(of: name)) ?? nil }

    private func knownKey(of name: String) throws -> Fingerprint? {
        if let pin { return pin }
        let pins = try PinStore(in: state).read()
        if let mistake = pins.mistake(about: name) { throw mistake }
        return pins.pins.first { $0.name == name }?.fingerprint
    }

    /// Made when the first link needs it: most programs make none, or none that leaves the host.
    func ownContext() throws -> TLSContext {
        if let context { return context }
        let made = try TLSContext(.client, identity: try IdentityFile(in: state).load())
        context = made
        return made
    }

    private func met(_ name: String, _ found: Fingerprint, _ meeting: Result<PinVerdict, any Error>) {
        switch meeting {
        case .success(.known): break
        case .success(.new):
            voice.tell("gateway \(name) is new; its key, \(found), is known from now on")
        case .success(.changed(let old)): refused(found, of: name, insteadOf: old, isPinned: false)
        case .success(.unclear(let mistake)): voice.alarm("gateway \(name): \(mistake); the link is refused")
        case .failure(let error):
            voice.alarm("gateway \(name) is new, and its key cannot be remembered: \(error); give --state or --pin")
        }
    }

    private func refused(_ found: Fingerprint, of name: String, insteadOf known: Fingerprint, isPinned: Bool) {
        if isPinned {
            let place = known == pin ? "--pin" : "its rule"
            return voice.alarm(
                "gateway \(name) has the key \(found), not that of \(place), \(known); the link is refused")
        }
        voice.alarm(
            """
            the key of gateway \(name) has changed: known is \(known), it shows \(found); the link is refused. Somebody may \
            stand between. If you know that it has another key now: usl trust add \(name) \(found)
            """)
    }
}
