import Kernel
import Policy
import SystemPackage

extension Agent {
    /// How a destination is reached.
    enum Route {
        case direct
        /// Not at all, by a rule. An application is told what it hears where nobody listens, `ECONNREFUSED`.
        case forbidden
        /// Not at all: this is what the application is told.
        case refused(Errno)
        /// By the application itself, and where its own attempt fails, on another path.
        case shim(Verdict)
        case session(GatewayRoute)
    }

    /// Decides how to reach a destination; calls `decided` at once if that is known, else when it is.
    func route(to destination: SocketAddress, for applicant: Applicant, decided: @escaping (Route) -> Void) {
        rules.verdict(on: destination, applicant) { [self] verdict in
            if let origin = verdict.origin {
                notices.explain("\(applicant.name) to \(destination): \(verdict.treatment.rawValue), by \(origin)")
            }
            switch verdict.treatment {
            case .direct: decided(.direct)
            case .refuse: decided(.forbidden)
            case .shim, .shimSources: decided(.shim(verdict))
            case .session: session(to: destination, verdict, decided)
            }
        }
    }

    private func session(to destination: SocketAddress, _ verdict: Verdict, _ decided: @escaping (Route) -> Void) {
        if let gateway = options.gateway {
            return decided(.session(rules.route(to: gateway.addresses, named: gateway.name, verdict)))
        }
        guard let gateway = verdict.gateway?.hostPort else { return detect(destination, verdict, decided) }
        rules.addresses(of: gateway) { [self] addresses in
            let route = addresses.isEmpty ? nil : rules.route(to: addresses, named: gateway, verdict)
            // Who has named a gateway does not want to go without.
            guard let route else {
                notices.warn("the gateway \(gateway) has no address that is known (\(origin(of: verdict))); refused")
                return decided(.refused(.noRouteToHost))
            }
            guard route.sources.contains(where: { source in addresses.contains(where: source.suits) }) else {
                let sources = route.sources.map(\.description).joined(separator: ", ")
                notices.warn(
                    "links from \(sources) cannot lead to the gateway \(gateway): one is IPv4, the other IPv6 "
                        + "(\(origin(of: verdict))); refused")
                return decided(.refused(.noRouteToHost))
            }
            decided(.session(route))
        }
    }

    private func detect(_ destination: SocketAddress, _ verdict: Verdict, _ decided: @escaping (Route) -> Void) {
        if verdict.detection == .off { return decided(.shim(verdict)) }
        detection.look(at: destination, verdict.detection) { [self] outcome in
            for remark in outcome.remarks { notices.warn(remark) }
            let gateways = outcome.gateways
            if !gateways.isEmpty {
                var route = rules.route(to: gateways, named: nil, verdict)
                route.offered = outcome.isOffered ? destination.unmapped : nil
                return decided(.session(route))
            }
            if outcome.answer?.isDeclined == true {
                let place = destination.unmapped.with(port: AgentOptions.gatewayPort)
                notices.explain("the gateway at \(place) does not serve \(destination); connected directly")
            }
            guard let pin = verdict.pin, !options.isPlain else { return decided(.shim(verdict)) }
            // Whoever can keep its answers away must not be able to talk a program out of its protection.
            let place = destination.unmapped.with(port: AgentOptions.gatewayPort)
            notices.warn(
                "no gateway answers at \(place), and \(origin(of: verdict)) says that its key is \(pin); nothing is "
                    + "connected without it")
            decided(.session(rules.route(to: [place], named: nil, verdict)))
        }
    }

    /// A link of a session that is not open yet has failed: what was detected may be out of date.
    ///
    /// - Returns: what people must know of that, to stand behind what has failed.
    func openingFailed(through route: GatewayRoute?) -> String {
        guard let route, route.name == nil else { return "" }
        for gateway in route.addresses { detection.failed(gateway) }
        guard !options.isPlain, let known = route.addresses.first(where: { trust.knows("\($0)") }) else { return "" }
        return "; it was found here before and is known by its key, and nothing is connected without it. "
            + Detection.remedy(for: known)
    }

    private func origin(of verdict: Verdict) -> String { verdict.origin?.description ?? "no rule" }
}
