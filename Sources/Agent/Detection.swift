import Engine
import Kernel
import Policy
import Rendezvous
import Transport

/// Whether there is a gateway for a destination, as far as it is known, and else by asking. On the main loop.
final class Detection {
    /// What became of a question.
    struct Answer {
        let question: DetectionQuestion
        /// None: an ordinary peer.
        let gateways: [SocketAddress]
        /// The key that the first of them has shown, if it was asked just now and has one.
        var key: Fingerprint?
        /// Whether they serve the destination only as long as a server program offers it.
        var isOffered = false
        /// Whether there is a gateway, and it has nothing to do with the destination.
        var isDeclined = false
        /// For people: what is there, if it is not an ordinary server, and not used.
        var remark: String?
        /// Until when it holds, in seconds since 1970; nil for what has only just been learnt.
        var until: UInt64?
        /// Whether it is worth remembering.
        var counts = true
        /// The gateway port that was asked just now.
        var place: SocketAddress?

        /// As it is remembered.
        fileprivate var words: [String] {
            if isDeclined { return DetectionFinding.declined }
            guard isOffered, let gateway = gateways.first else { return gateways.map(\.description) }
            return DetectionFinding.offered(by: "\(gateway)")
        }
    }

    /// What is to be done, and why.
    struct Outcome {
        /// None: an ordinary peer.
        let gateways: [SocketAddress]
        /// Whether they may be gone when the server is: the destination is then an ordinary peer, whatever was there before.
        var isOffered = false
        /// The answer that decided; nil where an older one did, which the present ones contradict.
        let answer: Answer?
        /// Lines for people.
        let remarks: [String]
    }

    private let isPlain: Bool
    private let trust: GatewayTrust
    private let store: DetectionStore
    private let loop: EventLoop
    /// Connections that wait for the same answer.
    private var asking: [DetectionQuestion: [(Answer) -> Void]] = [:]

    /// - Parameter isPlain: whether links to other hosts are plain.
    init(isPlain: Bool, trust: GatewayTrust, store: DetectionStore, on loop: EventLoop) {
        self.isPlain = isPlain
        self.trust = trust
        self.store = store
        self.loop = loop
    }

    /// Finds the gateways of a destination; calls `decided` at once if they are known, else when they are.
    func look(at destination: SocketAddress, _ mode: DetectionMode, decided: @escaping (Outcome) -> Void) {
        let destination = destination.unmapped
        let place = destination.with(port: AgentOptions.gatewayPort)
        switch mode {
        case .off: decided(Outcome(gateways: [], answer: nil, remarks: []))
        case .port: ask(.port, at: destination) { [self] in decided(outcome(of: [$0], place)) }
        case .probe:
            ask(.port, at: destination) { [self] first in
                guard first.gateways.isEmpty else { return decided(outcome(of: [first], place)) }
                ask(.probe, at: destination) { [self] in decided(outcome(of: [first, $0], place)) }
            }
        }
    }

    /// A gateway that was found could not be reached: whoever asks next asks it again.
    func failed(_ gateway: SocketAddress) { store.expire(gateway: "\(gateway)") }

    /// Whether the destination was last found to be offered by a gateway that may go with its server.
    func isOffered(_ destination: SocketAddress) -> Bool {
        store.finding(for: DetectionQuestion(.port, at: "\(destination.unmapped)", isPlain: isPlain))?.isOffered == true
    }

    /// Whoever was taken for an ordinary server refuses: there may be another one the next time, with a gateway. A host that cannot be
    /// reached is no such sign, and to ask it again would cost the next connection the time in which its errno is exact.
    func serverRefused(_ destination: SocketAddress) {
        for way in DetectionQuestion.Way.allCases {
            store.expire(DetectionQuestion(way, at: "\(destination.unmapped)", isPlain: isPlain))
        }
    }

    // MARK: - Deciding

    private func outcome(of answers: [Answer], _ place: SocketAddress) -> Outcome {
        let decisive = answers.first { !$0.gateways.isEmpty }
        let found = decisive?.gateways ?? []
        let findings = answers.compactMap { store.lastFinding(for: $0.question) }
        let former = findings.flatMap(\.gateways).compactMap { SocketAddress($0) }
        // With the server that was offered, its gateway may go.
        let wasOffered = findings.contains(where: \.isOffered)
        let declined = answers.first { $0.isDeclined }
        let known =
            isPlain
            ? []
            : Self.distinct(former + [place]).filter {
                trust.knows("\($0)") && !($0 == place && declined.map(speaksForPlace) ?? false)
            }
        // Whoever can keep answers away, or give other ones, must not be able to talk a program out of its protection.
        if !known.isEmpty, !known.contains(where: { found.contains($0) }), found.isEmpty || !trust.takesOneKeyOnly {
            return Outcome(gateways: known, answer: nil, remarks: [Self.contradiction(of: known[0], found)])
        }
        for answer in answers where answer.until == nil && answer.counts {
            store.note(answer.words, for: answer.question, isForOthers: answer.remark == nil)
        }
        if let decisive {
            // One that is known by its key is no passing one.
            let isOffered = decisive.isOffered && !trust.knows("\(place)")
            return Outcome(gateways: found, isOffered: isOffered, answer: decisive, remarks: [])
        }
        var remarks = answers.compactMap(\.remark).map { "\($0); connected directly" }
        if declined != nil, !isPlain, !trust.takesOneKeyOnly, trust.knows("\(place)") {
            remarks.append("the gateway at \(place) has nothing to do with this destination; connected directly")
        }
        if remarks.isEmpty, declined == nil, !wasOffered, let gone = former.first {
            remarks = ["the gateway at \(gone) does not answer any more; connected directly"]
        }
        return Outcome(gateways: [], answer: answers.last, remarks: remarks)
    }

    /// Whether a gateway that has declined is the one that is known by its key at the gateway port: only that one's word counts. What
    /// was found before counted then.
    private func speaksForPlace(_ answer: Answer) -> Bool {
        guard answer.until == nil, let place = answer.place else { return answer.until != nil }
        return answer.key != nil && answer.key == trust.known("\(place)")
    }

    /// What somebody can do who wants to be connected without a gateway that is known.
    static func remedy(for known: SocketAddress) -> String {
        "If there is none any more, or that is another host's address in this network: usl trust remove \(known)"
    }

    private static func contradiction(of known: SocketAddress, _ found: [SocketAddress]) -> String {
        let rest = remedy(for: known)
        guard let other = found.first else {
            return """
                the gateway at \(known) is known by its key, and does not answer as one; nothing is connected without it. \(rest)
                """
        }
        return """
            the gateway at \(known) is known by its key, and somebody says now that \(other) is to be used; nothing is connected \
            without the known one. \(rest)
            """
    }

    private static func distinct(_ addresses: [SocketAddress]) -> [SocketAddress] {
        var seen: Set<SocketAddress> = []
        return addresses.filter { seen.insert($0).inserted }
    }

    // MARK: - Asking

    private func ask(
        _ way: DetectionQuestion.Way, at destination: SocketAddress, done: @escaping (Answer) -> Void
    ) {
        let question = DetectionQuestion(way, at: "\(destination)", isPlain: isPlain)
        if let known = store.finding(for: question), isReliable(known, for: question) {
            let gateways = known.gateways.compactMap { SocketAddress($0) }
            return done(
                Answer(
                    question: question, gateways: gateways, isOffered: known.isOffered, isDeclined: known.isDeclined,
                    until: known.until))
        }
        let isFirst = asking[question] == nil
        asking[question, default: []].append(done)
        guard isFirst else { return }
        let finish = { [self] (answer: Answer) in
            for done in asking.removeValue(forKey: question) ?? [] { done(answer) }
        }
        switch way {
        case .port:
            let place = destination.with(port: AgentOptions.gatewayPort)
            probe(place, about: destination) { [self] in finish(answer(to: question, $0, at: place)) }
        case .probe:
            InBandProbe.start(destination, on: loop) { [self] in inBand($0, at: destination, question, finish) }
        }
    }

    /// Without a key that is known, nothing but its answer keeps a connection at a gateway. One that another command has found may be
    /// gone, and must not take connections with it that would be plain ones otherwise.
    private func isReliable(_ finding: DetectionFinding, for question: DetectionQuestion) -> Bool {
        store.isOwn(question) || finding.isDeclined || finding.gateways.allSatisfy { !isPlain && trust.knows($0) }
    }

    private func probe(
        _ place: SocketAddress, about destination: SocketAddress? = nil, done: @escaping (GatewayProbe.Finding) -> Void
    ) {
        let security = isPlain || place.isLoopback ? nil : { [trust] in try trust.ownContext() }
        GatewayProbe.start(place, security, about: destination, on: loop, done: done)
    }

    private func answer(
        to question: DetectionQuestion, _ finding: GatewayProbe.Finding, at place: SocketAddress
    ) -> Answer {
        var answer = Answer(question: question, gateways: [])
        switch finding {
        case .gateway(let key, .unserved):
            answer = Answer(question: question, gateways: [], key: key, isDeclined: true)
            answer.place = place
        case .gateway(let key, let service):
            return Answer(question: question, gateways: [place], key: key, isOffered: service == .offered)
        // On loopback, asking costs nothing, and a server may come the next moment.
        case .nobody: answer.counts = !place.isLoopback
        case .stranger: answer.remark = "\(place) is no USL gateway, though something listens there"
        case .disagreeing: answer.remark = disagreement(at: place)
        case .keyless(let reason):
            answer.remark = "something listens at \(place), but \(reason)"
            answer.counts = false
        }
        return answer
    }

    private func disagreement(at place: SocketAddress) -> String {
        let theirs = isPlain ? "TLS, and this end plain links" : "plain links, and this end TLS"
        return "the gateway at \(place) speaks \(theirs); give --plain at both ends or at neither"
    }

    // MARK: - Asking in-band

    private func inBand(
        _ finding: InBandProbe.Finding, at place: SocketAddress, _ question: DetectionQuestion,
        _ finish: @escaping (Answer) -> Void
    ) {
        switch finding {
        case .ordinary: finish(Answer(question: question, gateways: []))
        case .garbage:
            finish(
                Answer(question: question, gateways: [], remark: "\(place) answers whether it has USL with nonsense"))
        case .answer(let answer):
            let named = answer.gateways.compactMap { GatewayClaim($0, by: place) }
            let usable = named.filter { isPlain ? !$0.isTLS : $0.isTLS || $0.address.isLoopback }
            guard !usable.isEmpty else {
                let remark =
                    named.first.map { disagreement(at: $0.address) } ?? "\(place) names no gateway that can be used"
                return finish(Answer(question: question, gateways: [], remark: remark))
            }
            verify(usable.map(\.address)[...], named: place, question, finish)
        }
    }

    /// Takes the first gateway that answers as one: what a front says may be out of date, or behind a firewall.
    private func verify(
        _ claims: ArraySlice<SocketAddress>, named place: SocketAddress, _ question: DetectionQuestion,
        _ finish: @escaping (Answer) -> Void
    ) {
        guard let claim = claims.first else { return }
        probe(claim) { [self] finding in
            if case .gateway(let key, _) = finding {
                return finish(Answer(question: question, gateways: [claim], key: key))
            }
            guard claims.count == 1 else { return verify(claims.dropFirst(), named: place, question, finish) }
            let remark = "\(place) names a gateway at \(claim), which does not answer"
            finish(Answer(question: question, gateways: [], remark: remark))
        }
    }
}
