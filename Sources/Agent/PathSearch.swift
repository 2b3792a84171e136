import Kernel
import Policy
import Transport

/// What policy says about looking for a path that works.
struct PathSearch {
    var limits = AttemptLimits()
    /// Only to the address that was asked for.
    var sourcesOnly = false
    /// More addresses of the destination.
    var addresses: [SocketAddress.Host] = []
    var reverseLookup = ReverseLookup.confirmed
    /// Whether names may lead to addresses of private networks.
    var allowsPrivate = false
    /// Of connections that this process makes; the application's own socket is what it is.
    var transport = LinkTransport.tcp
}
