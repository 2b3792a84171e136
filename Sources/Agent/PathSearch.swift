import Kernel
import Policy
import Transport

/// What policy says about looking for a path that works.
struct PathSearch {
    let limits: AttemptLimits
    /// Only to the address that was asked for.
    let sourcesOnly: Bool
    /// More addresses of the destination.
    let addresses: [SocketAddress.Host]
    let reverseLookup: ReverseLookup
    /// Whether names may lead to addresses of private networks.
    let allowsPrivate: Bool
    /// Of connections that this process makes; the application's own socket is what it is.
    let transport: LinkTransport

    init(_ verdict: Verdict, _ rules: RuleBook) {
        limits = verdict.attempts
        sourcesOnly = verdict.treatment == .shimSources
        addresses = verdict.addresses.map { SocketAddress.Host($0) }
        reverseLookup = verdict.reverseLookup
        allowsPrivate = verdict.allowsPrivateAddresses
        transport = rules.transport(verdict)
    }
}
