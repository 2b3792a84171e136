import CLinux
import Kernel
import SystemPackage

/// A connection inside the private namespace to a listener of the program, that comes from where its client is outside.
enum InwardConnection {
    /// - Returns: connected, or about to be.
    static func make(from source: SocketAddress, to destination: SocketAddress) throws(Errno) -> Descriptor {
        do throws(Errno) {
            return try connect(from: source, to: destination)
        } catch .addressInUse {
            // Another socket of the program has that port: the address alone is kept.
            return try connect(from: source.with(port: 0), to: destination)
        }
    }

    private static func connect(from source: SocketAddress, to destination: SocketAddress) throws(Errno) -> Descriptor {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(source.family, Int32(type), 0)))
        let number = descriptor.number
        // From an address of another host.
        try TransparentSocket.allow(number, family: source.family)
        try SocketOption.set(SOL_SOCKET, SO_MARK, of: number, to: PacketMark.Fate.through.rawValue)
        SocketOption.setReno(of: number)
        try source.withSockaddr { (pointer, length) throws(Errno) in
            _ = try check(usl_bind(number, pointer, length))
        }
        do throws(Errno) {
            try destination.withSockaddr { (pointer, length) throws(Errno) in
                _ = try check(usl_connect(number, pointer, length))
            }
        } catch .nowInProgress {
            // On loopback, a refusal has come before connect() returned, too: it shows as an error of the socket.
            let code = try SocketOption.read(SOL_SOCKET, SO_ERROR, of: number, initial: Int32(0))
            if code != 0 { throw Errno(rawValue: code) }
        }
        return descriptor
    }
}
