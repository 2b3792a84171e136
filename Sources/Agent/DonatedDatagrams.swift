import Interception
import Kernel
import SystemPackage
import Transport

/// Sockets of the machine's network for the datagrams of donated ones.
enum DonatedDatagrams {
    /// Answers the donor's question with a socket at this address, at another port if that is taken.
    static func handle(_ donor: consuming ControlConnection, _ source: AddressBytes, _ agent: Agent) {
        guard let source = SocketAddress(source) else { return }
        do throws(Errno) {
            let socket = try socket(at: source)
            try donor.send(.accepted, passing: socket.number)
            let port = try socket.localAddress().port
            if port != source.port {
                agent.notices.explain("datagrams of the program from port \(source.port) leave from port \(port)")
            }
        } catch {
            _ = try? donor.send(.refused(error.rawValue))
        }
    }

    private static func socket(at source: SocketAddress) throws(Errno) -> DatagramSocket {
        do throws(Errno) {
            return try bound(to: source)
        } catch {
            // Ports below 1024 are not for everybody.
            guard error == .addressInUse || error == .permissionDenied else { throw error }
            return try bound(to: source.with(port: 0))
        }
    }

    private static func bound(to address: SocketAddress) throws(Errno) -> DatagramSocket {
        let socket = try DatagramSocket(family: address.family)
        try socket.bind(to: address)
        return socket
    }
}
