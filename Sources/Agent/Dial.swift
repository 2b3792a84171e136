import Engine
import Kernel
import SystemPackage
import Transport

/// One plain connection on its way: to a server, from a socket of this process. On the main loop.
final class Dial: EventHandler {
    private let loop: EventLoop
    private var socket: TCPSocket?
    private var registration: Registration?
    private let ended: (Dial, Errno?) -> Void

    /// - Parameters:
    ///   - source: nil: the kernel's choice.
    ///   - ended: called when the connection is there, or has failed; not after ``release()``.
    /// - Throws: what connect(2) says at once.
    init(
        _ destination: SocketAddress, from source: SocketAddress.Host? = nil, _ transport: LinkTransport = .tcp,
        profile: LinkProfile = .ordinary, on loop: EventLoop, ended: @escaping (Dial, Errno?) -> Void
    ) throws(Errno) {
        self.loop = loop
        self.ended = ended
        let socket = try TCPSocket.dial(
            destination, from: source.map { .address($0) } ?? .anywhere, transport: transport, profile: profile)
        let number = socket.number
        self.socket = consume socket
        registration = try loop.register(number, self)
    }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            if try socket?.finishConnect() == true { ended(self, nil) }
        } catch {
            ended(self, error)
        }
    }

    /// Ends it, and gives its socket away.
    @discardableResult
    func release() -> TCPSocket? {
        if let registration { loop.deregister(registration) }
        registration = nil
        return socket.take()
    }
}
