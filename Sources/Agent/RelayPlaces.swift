import Interception
import Kernel
import SystemPackage
import Transport

/// Makes the sockets of relays, where libraries know them (``RelayAddress``).
struct RelayPlaces {
    private var next: UInt16
    /// In 127.117.0.0/16.
    private let host: UInt32

    /// - Parameter seed: any number. Agents with different ones do not get in each other's way.
    init(seed: UInt16) {
        host = UInt32(RelayAddress.network) << 16 | UInt32(seed)
        next = seed
    }

    /// A socket at a free place. The port is asked for by number, so that it stays the socket's when its peer changes (in the
    /// kernel, `SOCK_BINDPORT_LOCK`).
    ///
    /// - Throws: `EADDRINUSE` if all are taken.
    mutating func socket(like destination: SocketAddress) throws(Errno) -> DatagramSocket {
        let place =
            switch destination.host {
            case .v4: SocketAddress(host: .v4(host), port: 0)
            case .v6: SocketAddress.loopback(like: destination.host, port: 0)
            }
        let socket = try DatagramSocket(family: place.family)
        for _ in RelayAddress.ports {
            let port = RelayAddress.ports.lowerBound + next % UInt16(RelayAddress.ports.count)
            next &+= 1
            do throws(Errno) {
                try socket.bind(to: place.with(port: port))
                return socket
            } catch .addressInUse {
                continue
            }
        }
        throw .addressInUse
    }
}
