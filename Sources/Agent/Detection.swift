import Engine
import Kernel
import Rendezvous
import Transport

/// Whether there is a gateway at a destination, as far as it is known, and else by asking. On the main loop.
final class Detection {
    private let isPlain: Bool
    private let trust: GatewayTrust
    private let loop: EventLoop
    private let warn: (String) -> Void
    private var cache = DetectionCache<SocketAddress>()
    /// Connections that wait for the same place to be asked.
    private var asking: [SocketAddress: [([SocketAddress]) -> Void]] = [:]

    /// - Parameter isPlain: whether links to other hosts are plain.
    init(isPlain: Bool, trust: GatewayTrust, on loop: EventLoop, warn: @escaping (String) -> Void) {
        self.isPlain = isPlain
        self.trust = trust
        self.loop = loop
        self.warn = warn
    }

    /// Finds the gateways of a destination, none of an ordinary peer; calls `decided` at once if that is known, else when it is.
    ///
    /// - Parameter place: where its gateway would be.
    func look(at place: SocketAddress, decided: @escaping ([SocketAddress]) -> Void) {
        switch cache.finding(for: place, now: loop.now.nanoseconds) {
        case .gateway: return decided([place])
        case .ordinary: return decided([])
        case nil: break
        }
        let isFirst = asking[place] == nil
        asking[place, default: []].append(decided)
        guard isFirst else { return }
        let security = isPlain || place.isLoopback ? nil : { [trust] in try trust.ownContext() }
        GatewayProbe.start(place, security, on: loop) { [self] finding in
            let gateways = gateways(after: finding, at: place)
            for decided in asking.removeValue(forKey: place) ?? [] { decided(gateways) }
        }
    }

    private func gateways(after finding: GatewayProbe.Finding, at place: SocketAddress) -> [SocketAddress] {
        if finding == .gateway {
            cache.note(.gateway, for: place, now: loop.now.nanoseconds)
            return [place]
        }
        if !isPlain, trust.knows("\(place)") {
            // Whoever can keep its answers away must not be able to talk a program out of its protection.
            warn(
                """
                the gateway at \(place) is known by its key, and does not answer as one; nothing is connected without it. If \
                there is none any more, or that is another host's address in this network: usl trust remove \(place)
                """)
            return [place]
        }
        let hadGateway = cache.lastFinding(for: place) == .gateway
        cache.note(.ordinary, for: place, now: loop.now.nanoseconds)
        switch finding {
        case .gateway: break
        case .nobody:
            if hadGateway { warn("the gateway at \(place) does not answer any more; connected directly") }
        case .stranger: warn("\(place) is no USL gateway, though something listens there; connected directly")
        case .disagreeing:
            let theirs = isPlain ? "TLS, and this end plain links" : "plain links, and this end TLS"
            warn(
                "the gateway at \(place) speaks \(theirs); give --plain at both ends or at neither; connected directly")
        case .keyless(let reason): warn("something listens at \(place), but \(reason); connected directly")
        }
        return []
    }
}
