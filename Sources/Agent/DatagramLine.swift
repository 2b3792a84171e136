import Engine
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Transport

/// A relay's socket on one path: whatever comes here answers what was sent here.
final class DatagramLine: EventHandler {
    enum Event {
        /// The content is in the loop's scratch buffer.
        case received(count: Int)
        case failed(Errno)
    }

    let pair: CandidatePair
    private let socket: DatagramSocket
    private let loop: EventLoop
    private var registration: Registration?
    private let happened: (DatagramLine, Event) -> Void
    private(set) var lastSent: Instant
    /// Another path has answered what was sent here, so that what comes now may be a second answer.
    var isOvertaken = false

    init(
        _ pair: CandidatePair, port: UInt16, on loop: EventLoop, happened: @escaping (DatagramLine, Event) -> Void
    ) throws(Errno) {
        self.pair = pair
        self.loop = loop
        self.happened = happened
        lastSent = loop.now
        let destination = SocketAddress(host: SocketAddress.Host(pair.destination), port: port)
        socket = try DatagramSocket.connected(to: destination, from: pair.source.map { SocketAddress.Host($0) })
        registration = try loop.register(socket.number, self)
    }

    /// Where what is sent here comes from.
    var localAddress: SocketAddress? { try? socket.localAddress() }

    /// - Throws: what the kernel knows at once; also of something sent earlier.
    func send(_ content: [UInt8]) throws(Errno) {
        lastSent = loop.now
        do throws(Errno) {
            try content.withUnsafeBufferPointer { (bytes) throws(Errno) in
                try socket.send(UnsafeRawBufferPointer(bytes))
            }
        } catch .wouldBlock, .noBufferSpace {
            // Lost, as on any full queue along the way.
        }
    }

    func close() {
        if let registration { loop.deregister(registration) }
        registration = nil
    }

    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        while registration != nil {
            do throws(Errno) {
                guard let received = try socket.receive(into: loop.scratch) else { return }
                happened(self, .received(count: received.count))
            } catch {
                // One error at a time, and datagrams may stand behind it.
                happened(self, .failed(error))
            }
        }
    }
}

/// One datagram of an application, until it is answered.
final class DatagramRequest {
    let content: [UInt8]
    let began: Instant
    /// From then on, other paths are looked for.
    let silence: Instant
    var planner: AttemptPlanner
    /// Attempts under way.
    var lines: [Int: DatagramLine] = [:]

    init(_ content: [UInt8], at now: Instant, silentAt silence: Instant, _ planner: AttemptPlanner) {
        self.content = content
        began = now
        self.silence = silence
        self.planner = planner
    }

    func numbers(on line: DatagramLine) -> [Int] { lines.filter { $0.value === line }.map(\.key) }
}
