public import CLinux
public import SystemPackage

/// An IPv4 or IPv6 address with a port: the end of a TCP connection.
public struct SocketAddress: Hashable, Sendable {
    public enum Host: Hashable, Sendable {
        /// The address in network byte order: the first byte is the most significant.
        case v4(UInt32)
        /// The address as two big-endian halves, and the interface index of a link-local address (else 0).
        case v6(high: UInt64, low: UInt64, scope: UInt32)
    }

    public var host: Host
    public var port: UInt16

    public init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    public var family: Int32 { host.family }

    public var isLoopback: Bool {
        switch host {
        case .v4(let address): address >> 24 == 127
        case .v6(let high, let low, _):
            (high == 0 && low == 1) || (isMapped(high: high, low: low) && (low >> 24) & 0xff == 127)
        }
    }

    /// `0.0.0.0` or `::`.
    public var isWildcard: Bool {
        switch host {
        case .v4(let address): address == 0
        case .v6(let high, let low, _): high == 0 && low == 0
        }
    }

    /// fe80::/10, which needs its interface to mean anything.
    public var isLinkLocal: Bool {
        switch host {
        case .v4(let address): address >> 16 == 0xa9fe
        case .v6(let high, _, _): high >> 54 == 0xfe80 >> 6
        }
    }

    /// The IPv4 address inside `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2), else the address itself.
    public var unmapped: SocketAddress { SocketAddress(host: host.unmapped, port: port) }

    public func with(port: UInt16) -> SocketAddress { SocketAddress(host: host, port: port) }

    public static func loopback(like host: Host, port: UInt16) -> SocketAddress {
        switch host {
        case .v4: SocketAddress(host: .v4(0x7f00_0001), port: port)
        case .v6: SocketAddress(host: .v6(high: 0, low: 1, scope: 0), port: port)
        }
    }
}

extension SocketAddress.Host {
    public var family: Int32 {
        switch self {
        case .v4: AF_INET
        case .v6: AF_INET6
        }
    }

    /// No address: any (`INADDR_ANY`, `in6addr_any`).
    public static func wildcard(family: Int32) -> Self { family == AF_INET ? .v4(0) : .v6(high: 0, low: 0, scope: 0) }

    /// The wildcard of its family.
    public var wildcard: Self { .wildcard(family: family) }

    /// The IPv4 address inside `::ffff:a.b.c.d`, else the address itself.
    public var unmapped: Self {
        if case .v6(let high, let low, _) = self, isMapped(high: high, low: low) {
            return .v4(UInt32(truncatingIfNeeded: low))
        }
        return self
    }
}

private func isMapped(high: UInt64, low: UInt64) -> Bool { high == 0 && low >> 32 == 0xffff }

// MARK: - The kernel's form

extension SocketAddress {
    /// Reads the kernel's form; nil for families other than IPv4 and IPv6, or when `length` is too short.
    public init?(_ address: UnsafePointer<sockaddr>, length: socklen_t) {
        let raw = UnsafeRawPointer(address)
        guard Int(length) >= MemoryLayout<sa_family_t>.size else { return nil }
        switch Int32(address.pointee.sa_family) {
        case AF_INET where Int(length) >= MemoryLayout<sockaddr_in>.size:
            let v4 = raw.loadUnaligned(as: sockaddr_in.self)
            self.init(host: .v4(UInt32(bigEndian: v4.sin_addr.s_addr)), port: UInt16(bigEndian: v4.sin_port))
        case AF_INET6 where Int(length) >= MemoryLayout<sockaddr_in6>.size:
            let v6 = raw.loadUnaligned(as: sockaddr_in6.self)
            let (high, low) = withUnsafeBytes(of: v6.sin6_addr) {
                (
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                    UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                )
            }
            self.init(
                host: .v6(high: high, low: low, scope: v6.sin6_scope_id), port: UInt16(bigEndian: v6.sin6_port))
        default: return nil
        }
    }

    /// Lends the address in the kernel's form.
    public func withSockaddr<Result, Failure: Error>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var storage = sockaddr_storage()
        let length: Int
        switch host {
        case .v4(let address):
            var v4 = sockaddr_in()
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            v4.sin_addr.s_addr = address.bigEndian
            length = MemoryLayout<sockaddr_in>.size
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: v4, as: sockaddr_in.self) }
        case .v6(let high, let low, let scope):
            var v6 = sockaddr_in6()
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            v6.sin6_scope_id = scope
            withUnsafeMutableBytes(of: &v6.sin6_addr) {
                $0.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            length = MemoryLayout<sockaddr_in6>.size
            withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: v6, as: sockaddr_in6.self) }
        }
        return try withUnsafePointer(to: &storage) { (pointer) throws(Failure) -> Result in
            try body(UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), socklen_t(length))
        }
    }

    /// Calls `body` with room for an address, as `accept`, `getsockname` and `getpeername` want it.
    public static func reading(
        _ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) throws(Errno) -> (result: Int32, address: SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) {
            body(UnsafeMutableRawPointer($0).assumingMemoryBound(to: sockaddr.self), &length)
        }
        try check(result)
        let address = withUnsafePointer(to: &storage) {
            SocketAddress(UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), length: length)
        }
        return (result, address)
    }
}

// MARK: - Text

extension SocketAddress: CustomStringConvertible {
    /// `192.0.2.1:80` or `[2001:db8::1]:80`.
    public var description: String {
        switch host {
        case .v4: "\(host):\(port)"
        case .v6: "[\(host)]:\(port)"
        }
    }
}

extension SocketAddress {
    /// Parses what ``description`` writes; nil for anything else, names included.
    public init?(_ text: String) {
        guard let parts = HostPort(text), let host = Host(numeric: parts.host) else { return nil }
        self.init(host: host, port: parts.port)
    }
}

extension SocketAddress.Host: CustomStringConvertible {
    /// The address alone, as inet_ntop(3) writes it; a link-local one with `%` and its interface index.
    public var description: String {
        let text = SocketAddress(host: self, port: 0).withSockaddr { (address, length) -> String in
            var buffer = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let failed = getnameinfo(address, length, &buffer, socklen_t(buffer.count), nil, 0, NI_NUMERICHOST)
            guard failed == 0, let end = buffer.firstIndex(of: 0) else { return "?" }
            return String(decoding: buffer[..<end].map(UInt8.init(bitPattern:)), as: UTF8.self)
        }
        return text
    }

    /// Parses a numeric address; nil for anything else, names included.
    public init?(numeric text: String) {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            self = .v4(UInt32(bigEndian: v4.s_addr))
            return
        }
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        hints.ai_family = AF_INET6
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(text, nil, &hints, &found) == 0, let first = found else { return nil }
        defer { freeaddrinfo(found) }
        guard let address = SocketAddress(first.pointee.ai_addr, length: first.pointee.ai_addrlen) else { return nil }
        self = address.host
    }
}
