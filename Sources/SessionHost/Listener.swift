import CLinux
public import Keeper
public import Kernel
public import Transport

/// A listening socket, as an element of an array.
public final class Listener: Sendable {
    public let socket: TCPSocket

    public init(_ socket: consuming TCPSocket) { self.socket = socket }

    /// Listens on every address that can be had; what is wrong with one is an error, except that a host without IPv6
    /// serves its IPv4 addresses alone.
    public static func open(
        _ addresses: [SocketAddress], transport: LinkTransport = .tcp
    ) throws(ListenError) -> [Listener] {
        var listeners: [Listener] = []
        var missing: ListenError?
        for address in addresses {
            do throws(ListenError) {
                listeners.append(Listener(try TCPSocket.listen(on: address, transport: transport)))
            } catch  where error.code == .addressFamilyNotSupported {
                missing = error
            }
        }
        if listeners.isEmpty, let missing { throw missing }
        return listeners
    }
}

extension Escrow {
    /// Listens on every address that can be had, before the first worker is there, so that what is wrong with one is said
    /// at once. A listener that is there already stays, one at another address is closed.
    ///
    /// - Parameters:
    ///   - addresses: where links come, or the connections that `usl forward` takes.
    ///   - fronts: where other programs connect, over TCP.
    public mutating func listen(
        on addresses: [SocketAddress], transport: LinkTransport = .tcp, fronts: [SocketAddress] = []
    ) throws {
        var present: [SocketAddress: EscrowKey] = [:]
        forEach(.listener) { key, number in
            if let address = try? SocketAddress.reading({ usl_getsockname(number, $0, $1) }).address {
                present[address] = key
            }
        }
        let listeners =
            try Listener.open(addresses.filter { present[$0] == nil }, transport: transport)
            + Listener.open(fronts.filter { present[$0] == nil })
        for listener in listeners {
            hold(own: .listener, Descriptor(owning: try check(usl_fcntl(listener.socket.number, F_DUPFD_CLOEXEC, 0))))
        }
        for (address, key) in present where !(addresses + fronts).contains(address) { release(key) }
    }
}
