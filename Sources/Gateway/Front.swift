public import Kernel

/// `--front PUBLIC=TARGET`: a port that serves everybody as TARGET does, and tells those who ask that there is a gateway.
public struct Front: Sendable, Equatable {
    /// Where clients connect.
    public let listen: [SocketAddress]
    /// Where they are relayed to; the first that can be connected to.
    public let targets: [SocketAddress]
    /// As it was written.
    let text: String

    /// Reads `[HOST:]PORT=HOST:PORT`. Names are resolved, which may block.
    public static func parse(_ text: String) throws(FrontError) -> Front {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw FrontError(text: text, reason: "a front is PUBLIC=TARGET") }
        guard let target = HostPort(parts[1]), target.port > 0 else {
            throw FrontError(text: text, reason: "'\(parts[1])' is no HOST:PORT")
        }
        let isPort =
            !parts[0].isEmpty && parts[0].utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        let places = (isPort ? ["0.0.0.0:\(parts[0])", "[::]:\(parts[0])"] : [parts[0]]).map { HostPort($0) }
        var listen: [SocketAddress] = []
        for place in places {
            guard let place, place.port > 0 else {
                throw FrontError(text: text, reason: "'\(parts[0])' is neither PORT nor HOST:PORT")
            }
            listen += try addresses(of: place, text)
        }
        let front = Front(listen: listen, targets: try addresses(of: target, text), text: text)
        if front.leadsToItself { throw FrontError(text: text, reason: "\(parts[1]) is the front itself") }
        return front
    }

    private static func addresses(of place: HostPort, _ text: String) throws(FrontError) -> [SocketAddress] {
        do throws(ResolutionError) { return try place.resolve() } catch {
            throw FrontError(text: text, reason: error.description)
        }
    }

    private var leadsToItself: Bool {
        let own = AllowList.hostAddresses()
        return targets.contains { serves($0.unmapped, ownAddresses: { own }) }
    }

    /// Whether an address is this front's: one of this host, at the front's port.
    ///
    /// - Parameter ownAddresses: those of this host, fetched only if they matter.
    func serves(_ address: SocketAddress, ownAddresses: () -> Set<SocketAddress.Host>) -> Bool {
        listen.contains { place in
            guard place.port == address.port else { return false }
            if !place.isWildcard { return place.unmapped.host == address.host }
            return place.family == address.family && (address.isLoopback || ownAddresses().contains(address.host))
        }
    }
}

/// An argument of `--front` that cannot be used.
public struct FrontError: Error, CustomStringConvertible, Sendable {
    let text: String
    let reason: String
    public var description: String { "--front \(text): \(reason)" }
}
