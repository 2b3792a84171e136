import Engine
import Kernel
import SessionHost
import SessionProtocol
import Transport

/// The names that openers ask for.
extension FrontDoor {
    /// After this time an opener hears that nobody knows.
    private static let lookupLimit = Interval.seconds(5)
    /// Lookups at a time. Whoever has others wait has proven nothing: no more than a few threads may hang in the resolver.
    static let maximumLookups = 4

    /// Answers with the addresses that the opener may have sessions to, and no others: what a resolver of this network knows is
    /// not for everybody.
    func lookUp(_ message: LookupMessage, for greeting: Greeting) {
        let name = HostPort(host: message.name, port: message.port)
        lookups.run(within: Self.lookupLimit) {
            (try? name.resolve()) ?? []
        } done: { [self] (found: [SocketAddress]?) in
            answer(greeting, name, found ?? [])
        }
    }

    private func answer(_ greeting: Greeting, _ name: HostPort, _ found: [SocketAddress]) {
        guard !found.isEmpty else { return refuse(greeting, .hostUnreachable, "no address is known of \(name.host)") }
        let allowed = found.map(\.unmapped).filter { targets(of: $0, for: greeting.remote) != nil }
        var addresses: [[UInt8]] = []
        for address in allowed.map({ Destination($0).address }) where !addresses.contains(address) {
            addresses.append(address)
        }
        guard let message = FoundMessage(addresses: addresses) else {
            turnAway(greeting.remote, .notAllowed, "\(name) is looked up, and no --allow has it")
            return refuse(greeting, .notAllowed, "the gateway does not allow \(name)")
        }
        greeting.dismiss(saying: message.encoded)
    }
}
