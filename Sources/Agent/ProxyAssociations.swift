import Engine
import Interception
import Kernel
import SystemPackage

/// The associations of the SOCKS port (UDP ASSOCIATE of RFC 1928), and how many there may be. On the main loop.
final class ProxyAssociations {
    /// At a time. Who asks for more hears that this has failed.
    static let maximum = 256
    /// Destinations of all associations together, each of which takes three descriptors and more while an address is silent.
    static let maximumRoutes = 1024

    private let agent: Agent
    /// No other socket of this agent sends datagrams for programs.
    let paths = AnsweringPaths()
    private var count = 0
    private var routes = 0

    init(_ agent: Agent) { self.agent = agent }

    /// Answers a client that asks for an association.
    ///
    /// - Parameter announced: where its datagrams will come from, as far as it says. Its address is that of its connection, whatever it
    ///   says: behind address translation it knows no better.
    func begin(_ client: consuming ProxyClient, announced: ProxyAddress) {
        guard count < Self.maximum else {
            return deny(client, .general, "there are \(Self.maximum) associations already")
        }
        let association: ProxyAssociation
        do throws(Errno) {
            association = try ProxyAssociation(of: client.socket, port: announced.port, self, agent)
        } catch {
            return deny(client, ProxyFailure(error), "\(error)")
        }
        guard let connection = client.grant(at: association.address) else { return }
        do throws(Errno) {
            try association.begin(connection)
            count += 1
        } catch {
            agent.notices.explain("an association of the SOCKS port: \(error)")
        }
    }

    private func deny(_ client: consuming ProxyClient, _ failure: ProxyFailure, _ text: String) {
        agent.notices.explain("an association of the SOCKS port: \(text)")
        client.deny(failure, text, on: agent.loop)
    }

    func ended() { count -= 1 }

    // MARK: - Destinations

    /// - Returns: false if there is no room for another.
    func takeRoom() -> Bool {
        guard routes < Self.maximumRoutes else { return false }
        routes += 1
        return true
    }

    func giveRoom() { routes -= 1 }
}
