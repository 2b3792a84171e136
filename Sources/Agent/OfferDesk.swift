import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SystemPackage

/// The ports on which the programs of this agent listen, and the gateway that serves them: one of this user that runs here, or else one
/// that is started for that. On the main loop.
final class OfferDesk {
    /// Gateways that may fail to start before this end gives up: two agents may start one at the same moment.
    private static let maximumFailures = 5

    private unowned let agent: Agent
    let runtime: RuntimeDirectory?
    private var offers: [SocketAddress: ServerOffer] = [:]
    private var started: StartedGateway?
    /// Offers that wait until it serves.
    private var waiting: [ServerOffer] = []
    private var failures = 0

    init(_ agent: Agent) {
        self.agent = agent
        runtime = try? RuntimeDirectory { name in getenv(name).map { String(cString: $0) } }
    }

    /// A program listens.
    func listening(at asked: AddressBytes, process: pid_t) {
        // In a container, say, the port is another one than that of this host.
        guard NetworkNamespace.isShared(with: process) else { return }
        if let address = SocketAddress(asked) { listening(at: address, ProgramName.of(pid: process)) }
    }

    func listening(at asked: SocketAddress, _ program: String?) {
        let address = asked.unmapped
        guard agent.options.offers, agent.options.treatment != .direct,
            !address.isLoopback, address.port != AgentOptions.gatewayPort, offers[address] == nil
        else { return }
        agent.notices.explain("\(program ?? "a program") listens at \(address)")
        add(Offer(address, in: agent.network)).begin()
    }

    /// What a predecessor has offered.
    func adopt(_ descriptor: consuming Descriptor, _ key: EscrowKey) {
        let channel = OfferChannel(adopting: descriptor)
        guard let offer = channel.offer, offers[offer.address] == nil else { return agent.escrow.release(key) }
        add(offer).adopt(channel, key)
    }

    private func add(_ offer: Offer) -> ServerOffer {
        let entry = ServerOffer(offer, agent, at: self)
        offers[offer.address] = entry
        return entry
    }

    // MARK: - A gateway for them

    /// No gateway that runs here takes the offer.
    func start(_ offer: ServerOffer) {
        guard started?.isStarting != true else { return waiting.append(offer) }
        do throws(Errno) {
            let channel = try offer.startsWithGateway()
            started = try StartedGateway(serving: channel, agent.options, on: agent.loop) { [self] reason in
                ended(offer, reason)
            }
        } catch {
            giveUp([offer], error.description)
        }
    }

    /// A gateway has taken the offer.
    func taken(_ offer: ServerOffer) {
        failures = 0
        started?.serves()
        for other in waiting { other.begin() }
        waiting = []
    }

    /// The gateway that was started has ended before it served.
    private func ended(_ offer: ServerOffer, _ reason: String) {
        started = nil
        failures += 1
        if failures < Self.maximumFailures { return offer.beginSoon() }
        failures = 0
        giveUp([offer] + waiting, reason)
        waiting = []
    }

    private func giveUp(_ failed: [ServerOffer], _ reason: String) {
        for entry in failed {
            entry.letGo()
            offers[entry.offer.address] = nil
            agent.notices.warn(
                "no gateway serves port \(entry.offer.address.port): \(reason). The port works as ever, without USL")
        }
    }

    // MARK: - Clients

    /// Whose connection a program has accepted from an address of this host: a gateway's knows.
    func client(at leg: AddressBytes, answer: @escaping (AddressBytes?) -> Void) {
        guard !offers.isEmpty, let address = SocketAddress(leg) else { return answer(nil) }
        let gateways = ((try? runtime?.entries()) ?? []).filter { $0.role == .gateway }
        ClientQuery.ask(gateways[...], about: leg, on: agent.loop) { found in
            guard let found = found.flatMap({ SocketAddress($0) }) else { return answer(nil) }
            // As the program's socket spells addresses.
            let name = address.isMapped ? found.mapped : found
            answer(name.family == address.family ? AddressBytes(name) : nil)
        }
    }
}
