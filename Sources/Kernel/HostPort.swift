import CLinux

/// A host, by name or address, and a port, as people write them: `db1:5432`, `192.0.2.1:80`, `[2001:db8::1]:80`.
public struct HostPort: Hashable, Sendable, CustomStringConvertible {
    public var host: String
    public var port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses `HOST:PORT`; with `defaultPort` the port may be left out. An IPv6 address stands in brackets.
    public init?(_ text: String, defaultPort: UInt16? = nil) {
        let host: Substring
        var port: Substring?
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            if rest.first == ":" { port = rest.dropFirst() } else if !rest.isEmpty { return nil }
        } else {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2 else { return nil }
            host = parts[0]
            if parts.count == 2 { port = parts[1] }
        }
        guard !host.isEmpty else { return nil }
        if let port {
            guard let number = UInt16(port), port.allSatisfy(\.isNumber) else { return nil }
            self.init(host: String(host), port: number)
        } else if let defaultPort {
            self.init(host: String(host), port: defaultPort)
        } else {
            return nil
        }
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// All stream addresses of the host, in the resolver's order (RFC 6724). Blocks; call it off the event loops.
    public func resolve() throws(ResolutionError) -> [SocketAddress] {
        if let numeric = SocketAddress.Host(numeric: host) { return [SocketAddress(host: numeric, port: port)] }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, nil, &hints, &found)
        guard status == 0 else { throw ResolutionError(host: host, reason: String(cString: gai_strerror(status))) }
        defer { freeaddrinfo(found) }
        var addresses: [SocketAddress] = []
        var entry = found
        while let current = entry {
            if let address = SocketAddress(current.pointee.ai_addr, length: current.pointee.ai_addrlen) {
                addresses.append(address.with(port: port))
            }
            entry = current.pointee.ai_next
        }
        guard !addresses.isEmpty else { throw ResolutionError(host: host, reason: "no IPv4 or IPv6 address") }
        return addresses
    }
}

/// A name that could not be turned into an address.
public struct ResolutionError: Error, CustomStringConvertible, Sendable {
    public let host: String
    public let reason: String
    public var description: String { "cannot resolve '\(host)': \(reason)" }
}
