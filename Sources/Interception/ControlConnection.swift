public import CLinux
public import Kernel
public import SystemPackage

/// One client of the control socket, seen from either end. Never blocks.
public struct ControlConnection: ~Copyable, Sendable {
    /// Who is at the other end, as the kernel saw it at connect(2) (`SO_PEERCRED`).
    public struct Peer: Sendable {
        /// 0 if it is outside this process's PID namespace.
        public let process: pid_t
        public let user: uid_t
    }

    /// What a client sent.
    public enum Incoming: ~Copyable {
        /// Nothing yet.
        case nothing
        /// The client has gone.
        case end
        case request(ControlRequest, socket: Descriptor?)
        /// Not a request of this version. Close the connection.
        case malformed
    }

    /// Readable when a request or an answer has arrived.
    public let descriptor: Descriptor
    public let peer: Peer

    init(adopting descriptor: consuming Descriptor) throws(Errno) {
        let credentials = try SocketOption.read(SOL_SOCKET, SO_PEERCRED, of: descriptor.number, initial: ucred())
        peer = Peer(process: credentials.pid, user: credentials.uid)
        self.descriptor = descriptor
    }

    /// Connects to the control socket at `path`. `ECONNREFUSED`: its owner is dead. `EAGAIN`: its backlog is full.
    public init(path: String) throws(Errno) {
        let type = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        let descriptor = Descriptor(owning: try check(socket(AF_UNIX, Int32(type), 0)))
        let number = descriptor.number
        try withUnixAddress(path) { (address, length) throws(Errno) in
            _ = try retrying { usl_connect(number, address, length) }
        }
        try self.init(adopting: descriptor)
    }

    /// The client's request. The library sends it in one piece, so a shorter one is malformed.
    public borrowing func receive() throws(Errno) -> Incoming {
        do {
            guard
                var received = try DescriptorPassing.receive(
                    capacity: ControlMessage.size, over: descriptor.number)
            else { return .end }
            guard let request = ControlRequest(received.bytes.span) else { return .malformed }
            return .request(request, socket: received.descriptor.take())
        } catch .wouldBlock {
            return .nothing
        }
    }

    /// The answer to a request; nil while there is none.
    ///
    /// - Throws: `EPIPE` if the other end has gone without one, `EBADMSG` if this is none.
    public borrowing func receiveAnswer() throws(Errno) -> ControlResponse? { try receivePassed()?.response }

    /// The same, with what has come with it.
    public borrowing func receivePassed() throws(Errno) -> PassedAnswer? {
        do throws(Errno) {
            guard
                var received = try DescriptorPassing.receive(
                    capacity: ControlMessage.size, over: descriptor.number)
            else { throw Errno.brokenPipe }
            guard let response = ControlResponse(received.bytes.span) else { throw Errno.badMessage }
            return PassedAnswer(response: response, descriptor: received.descriptor.take())
        } catch .wouldBlock {
            return nil
        } catch .connectionReset {
            throw Errno.brokenPipe
        }
    }

    public struct PassedAnswer: ~Copyable {
        public let response: ControlResponse
        public var descriptor: Descriptor?
    }

    /// What stands behind a `resolved` request. It was sent with it, and a Unix socket hands on at once what was sent at once: what
    /// is not here is not waited for.
    ///
    /// - Parameter byteCount: as the request says.
    /// - Returns: nil if it is no such message.
    public borrowing func receiveResolved(byteCount: Int) throws(Errno) -> ResolvedName? {
        guard let received = try DescriptorPassing.receive(capacity: byteCount, over: descriptor.number),
            received.bytes.count == byteCount, let message = ResolvedMessage(received.bytes.span)
        else { return nil }
        return ResolvedName(message)
    }

    /// Answers `connect` or `peerName`; the message always fits into an empty socket.
    ///
    /// - Parameter passed: what comes with it.
    public borrowing func send(_ response: ControlResponse, passing passed: Int32? = nil) throws(Errno) {
        try send(response.encoded(), passing: passed)
    }

    /// Asks for the status, or one session, or to give it up; the answer is what can be read until end of file.
    ///
    /// - Parameter descriptor: what comes with it.
    public borrowing func request(_ request: ControlRequest, passing descriptor: Int32? = nil) throws(Errno) {
        try send(request.encoded(), passing: descriptor)
    }

    /// Tells of a held SYN, in one piece.
    public borrowing func requestHeld(
        from source: AddressBytes, to destination: AddressBytes, process: pid_t
    ) throws(Errno) {
        try sendPair(
            ControlRequest.heldSYN(destination, process: process).encoded(),
            ControlRequest.heldSYN(source, process: process).encoded())
    }

    /// Tells of a connection from outside, in one piece.
    public borrowing func sendIncoming(
        from source: AddressBytes, to destination: AddressBytes, number: UInt64
    ) throws(Errno) {
        try sendPair(
            ControlResponse.incoming(source, number: number).encoded(),
            ControlResponse.incoming(destination, number: number).encoded())
    }

    private borrowing func sendPair(
        _ first: ControlMessage.Bytes, _ second: ControlMessage.Bytes
    ) throws(Errno) {
        let bytes = Self.bytes(first) + Self.bytes(second)
        guard try DescriptorPassing.send(bytes, over: descriptor.number) == bytes.count else { throw .noBufferSpace }
    }

    private borrowing func send(_ message: ControlMessage.Bytes, passing passed: Int32? = nil) throws(Errno) {
        try DescriptorPassing.send(Self.bytes(message), passing: passed, over: descriptor.number)
    }

    private static func bytes(_ message: ControlMessage.Bytes) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: ControlMessage.size) { room, count in
            for index in message.indices { room.initializeElement(at: index, to: message[index]) }
            count = ControlMessage.size
        }
    }
}
