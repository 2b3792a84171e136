import Engine
import Interception
import Kernel
import Policy
import SessionHost
import SessionProtocol

/// Asks the system's resolver off the main loop, and remembers the answers for a moment. On the main loop.
final class Resolver {
    typealias Host = SocketAddress.Host

    /// After this time nobody waits for an answer. glibc asks each server for 5 s, twice (resolv.conf(5)); an answer that takes
    /// as long comes too late to help a connection.
    static let limit = Interval.seconds(5)
    /// How long an answer holds. It is short, since the lifetime that DNS gives does not come through.
    static let lifetime = Interval.seconds(60)
    /// How long it holds that there is no answer. Shorter, since a network that is not there gives none either; long enough that
    /// the next connection does not wait for a resolver that has just been found silent.
    static let emptyLifetime = Interval.seconds(10)
    static let maximumAnswers = 1024
    /// As many lookups may hang before others have to wait.
    static let maximumThreads = 4

    fileprivate enum Question: Hashable {
        case forward(String)
        case reverse(Host)
    }

    private let loop: EventLoop
    private let names: SystemNames
    private let calls: BlockingCalls
    private var answers: [Question: (addresses: [Host], until: Instant)] = [:]
    /// Those who wait for the same answer.
    private var waiting: [Question: [([Host]) -> Void]] = [:]

    init(_ names: SystemNames = .system, on loop: EventLoop) {
        self.names = names
        self.loop = loop
        calls = BlockingCalls(name: "usl-resolver", maximum: Self.maximumThreads, on: loop)
    }

    /// Finds the addresses of a name, in the resolver's order; none if there are none, or nobody has said within ``limit``. Calls
    /// `found` once: at once if the answer is remembered.
    func forward(_ name: String, found: @escaping ([Host]) -> Void) {
        guard let name = ResolvedName.canonical(name) else { return found([]) }
        ask(.forward(name), found)
    }

    /// Finds the addresses of the name that an address has, itself left out. Calls `found` once, likewise.
    func reverse(_ host: Host, _ mode: ReverseLookup, found: @escaping ([Host]) -> Void) {
        switch mode {
        case .off: found([])
        case .confirmed:
            // Whoever has an address can give it any name; only who has the name can give it the address.
            ask(.reverse(host)) { found($0.contains(host) ? $0.filter { $0 != host } : []) }
        case .unconfirmed: ask(.reverse(host)) { found($0.filter { $0 != host }) }
        }
    }

    private func ask(_ question: Question, _ answered: @escaping ([Host]) -> Void) {
        if let known = answers[question], known.until > loop.now { return answered(known.addresses) }
        let isFirst = waiting[question] == nil
        waiting[question, default: []].append(answered)
        guard isFirst else { return }
        calls.run(within: Self.limit) { [names] in
            names.answer(to: question)
        } done: { [self] (found: [Host]?) in
            let addresses = found ?? []
            note(addresses, for: question)
            for answered in waiting.removeValue(forKey: question) ?? [] { answered(addresses) }
        }
    }

    private func note(_ addresses: [Host], for question: Question) {
        if answers.count >= Self.maximumAnswers { answers = answers.filter { $0.value.until > loop.now } }
        if answers.count >= Self.maximumAnswers { answers.removeAll(keepingCapacity: true) }
        answers[question] = (addresses, loop.now + (addresses.isEmpty ? Self.emptyLifetime : Self.lifetime))
    }
}

extension SystemNames {
    /// The addresses of a name, or of the name of an address.
    fileprivate func answer(to question: Resolver.Question) -> [SocketAddress.Host] {
        switch question {
        case .forward(let name): return forward(name)
        case .reverse(let host):
            // A "name" that is an address would make the reverse zone say where to connect.
            guard let name = reverse(host).flatMap(ResolvedName.canonical), SocketAddress.Host(numeric: name) == nil
            else { return [] }
            return forward(name)
        }
    }
}
