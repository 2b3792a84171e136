import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

/// One connection as the kernel makes it, without other paths.
final class DirectDial: EventHandler {
    private let loop: EventLoop
    private var socket: TCPSocket?
    private var registration: Registration?
    private let connected: (consuming TCPSocket) -> Void
    private let failed: (Errno) -> Void

    /// Calls one of both, once, unless it is cancelled before; where the kernel knows at once that there is no way, before this
    /// returns, and then the result is nil.
    static func start(
        to destination: SocketAddress, on loop: EventLoop, connected: @escaping (consuming TCPSocket) -> Void,
        failed: @escaping (Errno) -> Void
    ) -> DirectDial? {
        do throws(Errno) {
            let socket = try TCPSocket.dial(destination, profile: .relayed(to: destination))
            let number = socket.number
            let dial = DirectDial(socket, on: loop, connected, failed)
            dial.registration = try loop.register(number, dial)
            return dial
        } catch {
            failed(error)
            return nil
        }
    }

    private init(
        _ socket: consuming TCPSocket, on loop: EventLoop, _ connected: @escaping (consuming TCPSocket) -> Void,
        _ failed: @escaping (Errno) -> Void
    ) {
        self.socket = consume socket
        self.loop = loop
        self.connected = connected
        self.failed = failed
    }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        do throws(Errno) {
            guard try socket?.finishConnect() == true, let socket = leave() else { return }
            connected(socket)
        } catch {
            _ = leave()
            failed(error)
        }
    }

    func cancel() { _ = leave() }

    private func leave() -> TCPSocket? {
        if let registration { loop.deregister(registration) }
        registration = nil
        return socket.take()
    }
}
