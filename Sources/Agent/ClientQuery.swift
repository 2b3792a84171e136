import CLinux
import Engine
import Interception
import Kernel
import SessionProtocol
import SystemPackage

/// Asks the gateways of this user, one after the other, whose connection comes from an address of theirs. On the main loop.
final class ClientQuery {
    /// How long one may take; it answers within a turn of its loop.
    private static let patience = Interval.seconds(1)

    private var gateways: ArraySlice<RuntimeDirectory.Entry>
    private let leg: AddressBytes
    private let loop: EventLoop
    private let done: (AddressBytes?) -> Void
    private var connection: ControlConnection?
    private var registration: Registration?
    private var timer: TimerToken?

    /// Calls `done` once: at once if there is nobody to ask.
    static func ask(
        _ gateways: ArraySlice<RuntimeDirectory.Entry>, about leg: AddressBytes, on loop: EventLoop,
        done: @escaping (AddressBytes?) -> Void
    ) {
        ClientQuery(gateways, leg, loop, done).next()
    }

    private init(
        _ gateways: ArraySlice<RuntimeDirectory.Entry>, _ leg: AddressBytes, _ loop: EventLoop,
        _ done: @escaping (AddressBytes?) -> Void
    ) {
        self.gateways = gateways
        self.leg = leg
        self.loop = loop
        self.done = done
    }

    private func next() {
        hangUp()
        guard let gateway = gateways.popFirst() else { return done(nil) }
        do throws(Errno) {
            let connection = try ControlConnection(path: gateway.path)
            try connection.request(.client(at: leg))
            registration = try loop.register(connection.descriptor.number, self)
            self.connection = consume connection
            timer = loop.schedule(self, at: loop.now + ClientQuery.patience)
        } catch {
            next()
        }
    }

    private func hangUp() {
        if let registration { loop.deregister(registration) }
        if let timer { loop.cancel(timer) }
        (registration, timer) = (nil, nil)
        connection = nil
    }
}

extension ClientQuery: EventHandler, TimerHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard let number = connection?.descriptor.number else { return }
        let bytes = [UInt8](unsafeUninitializedCapacity: ControlMessage.size) { room, count in
            count = max(0, recv(number, room.baseAddress, room.count, Int32(MSG_DONTWAIT)))
        }
        guard case .asked(let client)? = ControlResponse(bytes.span) else {
            // An event may come before the answer.
            if bytes.isEmpty, events.isDisjoint(with: [.peerClosed, .hangup, .error]) { return }
            return next()
        }
        hangUp()
        done(client)
    }

    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        next()
    }
}
