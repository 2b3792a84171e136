import CLinux
import Engine
import Kernel
import SessionProtocol

/// Looks for sockets of the program that are bound and not connected: they may wait for whoever speaks to them first. When one is bound,
/// nobody says.
final class BoundSockets {
    /// When to look behind the making of a socket.
    private static let pauses = [10, 30, 100, 300, 1000, 3000].map { Interval.milliseconds($0) }
    /// Twenty times what looking at one takes.
    private static let pausePerSocket = Interval.microseconds(50)

    private let place: DatagramPlace
    private let loop: EventLoop
    private let found: (SocketAddress) -> Void
    /// How many were there at the last look.
    private var count = 0
    /// nil: no pause is left.
    private var pause: Int?
    private var timer: TimerToken?

    /// - Parameter found: is told where each is that there is, at each look.
    init(of place: DatagramPlace, on loop: EventLoop, found: @escaping (SocketAddress) -> Void) {
        self.place = place
        self.loop = loop
        self.found = found
    }

    func socketGiven() {
        guard pause != 0 else { return }
        pause = 0
        setTimer()
    }

    func look() {
        count = 0
        for family in place.gate6 == nil ? [AF_INET] : [AF_INET, AF_INET6] {
            guard let sockets = try? place.diagnosis?.unconnectedDatagramSockets(family: family) else { continue }
            count += sockets.count
            for socket in sockets { tell(socket) }
        }
    }

    private func tell(_ socket: SocketDiagnosis.DatagramSocketState) {
        let address = socket.local.unmapped
        // The donor's own.
        guard address.port != place.gate4.port, address.port != place.gate6?.port else { return }
        found(address)
        if socket.isDual, address.isWildcard { found(SocketAddress(host: .v4(0), port: address.port)) }
    }

    private func setTimer() {
        if let timer { loop.cancel(timer) }
        timer = pause.map {
            loop.schedule(self, at: loop.now + Self.pauses[$0] + Self.pausePerSocket * UInt64(count))
        }
    }
}

extension BoundSockets: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        look()
        pause = pause.flatMap { $0 + 1 < Self.pauses.count ? $0 + 1 : nil }
        setTimer()
    }
}
