import Interception
import Kernel

extension Agent {
    /// Finds the addresses of what a client of the SOCKS port asks for: of a name, by whoever resolves names for it. Calls `found` once:
    /// at once if nobody has to be asked.
    func findHosts(of asked: ProxyAddress, found: @escaping (GatewayNames.Answer) -> Void) {
        switch asked.host {
        case .v4(let host): found(.found([.v4(host)]))
        case .v6(let high, let low): found(.found([.v6(high: high, low: low, scope: 0)]))
        case .name(let name):
            if let numeric = SocketAddress.Host(numeric: name) { return found(.found([numeric])) }
            if options.gatewayResolves { return gatewayNames.look(up: name, port: asked.port, answered: found) }
            resolve(name) { hosts in
                found(
                    hosts.isEmpty
                        ? .failed(.unknownName, "no address is known of \(name)") : .found(hosts))
            }
        }
    }
}
