import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

/// A peer of the gateway that says whatever a test wants, frame by frame. Blocks, at most 10 s at a time.
final class HandMadeOpener {
    struct Frame {
        let header: FrameHeader
        let payload: [UInt8]
    }

    private(set) var link: Link
    private var decoder = FrameDecoder()
    private var input: [UInt8] = []
    private var cursor = 0

    /// - Parameter source: where to come from.
    init(_ address: SocketAddress, from source: String = "127.0.0.1") throws {
        link = Link(plain: try Self.dial(address, from: source))
    }

    /// Over TLS.
    ///
    /// - Parameters:
    ///   - ticket: of an earlier connection.
    ///   - early: what goes with the first flight.
    init(
        _ address: SocketAddress, over context: TLSContext, resuming ticket: consuming SessionTicket? = nil,
        early: [UInt8] = []
    ) throws {
        link = Link(
            tls: try TLSConnection(client: context, try Self.dial(address), accepting: .any, resuming: ticket))
        if !early.isEmpty { link.sendEarly(early) }
        while link.handshake() != .done {
            if case .failed(let failure) = link.handshake() { throw failure }
            try wait(POLLIN)
        }
    }

    private static func dial(_ address: SocketAddress, from source: String = "127.0.0.1") throws -> TCPSocket {
        let host = try #require(SocketAddress.Host(numeric: source))
        let socket = try TCPSocket.dial(address, from: .address(host), profile: .local)
        var entry = pollfd(fd: socket.number, events: Int16(POLLOUT), revents: 0)
        guard try retrying({ poll(&entry, 1, 10_000) }) == 1, try socket.finishConnect() else { throw Errno.timedOut }
        return socket
    }

    func say(_ bytes: [UInt8]) { _ = link.write(bytes) }

    /// A PING is answered.
    func expectAlive(sourceLocation: SourceLocation = #_sourceLocation) {
        say(FrameHeader(type: .ping, offset: 4711).encodedBytes)
        var frame = try? hear()
        // An acknowledgement may come first.
        while frame?.header.type == .ack { frame = try? hear() }
        #expect(frame?.header.type == .pong && frame?.header.offset == 4711, sourceLocation: sourceLocation)
    }

    /// The next frame, DATA aside; nil at the end of the connection, in whatever way it ends.
    func hear() throws -> Frame? {
        while true {
            let input = input
            switch try decoder.next(input.span.bytes, &cursor) {
            case .frame(let header): return Frame(header: header, payload: decoder.payload)
            case .preface, .dataHeader, .data: continue
            case .needMore: break
            }
            guard let more = try receive() else { return nil }
            self.input = more
            cursor = 0
        }
    }

    /// Raw bytes; nil at the end of the connection.
    func receive() throws -> [UInt8]? {
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            switch room.withUnsafeMutableBytes({ link.read(into: $0) }) {
            case .bytes(let count): return [UInt8](room[..<count])
            case .wouldBlock: try wait(POLLIN)
            case .endOfStream, .failed: return nil
            }
        }
    }

    func localAddress() throws -> SocketAddress { try link.withSocket { try $0.localAddress() } }

    /// Whether the connection has ended; waits for that up to a limit.
    func hasEnded(within milliseconds: Int32) throws -> Bool {
        let end = ContinuousClock.now + .milliseconds(Int(milliseconds))
        while ContinuousClock.now < end {
            var entry = pollfd(fd: link.number, events: Int16(POLLIN), revents: 0)
            if try retrying({ poll(&entry, 1, 50) }) == 1, try receive() == nil { return true }
        }
        return false
    }

    private func wait(_ events: Int32) throws {
        var entry = pollfd(fd: link.number, events: Int16(events), revents: 0)
        if try retrying({ poll(&entry, 1, 10_000) }) == 0 { throw Errno.timedOut }
    }
}

/// A session that a test opens by hand, with its keys.
final class HandMadeSession {
    let id: SessionID
    let open: OpenMessage
    private let agreement: KeyAgreement
    private var key: ResumeKey?

    init(_ id: UInt64, to destination: SocketAddress) throws {
        self.id = SessionID(high: 0x7e57, low: id)
        agreement = try KeyAgreement.generate()
        guard case .v4(let host) = destination.host,
            let target = Destination(
                address: (0..<4).map { UInt8(truncatingIfNeeded: host >> (24 - 8 * $0)) }, port: destination.port)
        else { throw Errno.invalidArgument }
        open = OpenMessage(session: self.id, keyShare: agreement.share, destination: target, suspendLimit: 3600)
    }

    /// Preface and OPEN.
    var greeting: [UInt8] { Wire.preface + open.encoded }

    /// Takes the gateway's key share from an OPENED.
    func opened(_ frame: HandMadeOpener.Frame) throws {
        // The key share is the first item: 4 bytes of type and length, and 32 of its own.
        key = try agreement.resumeKey(as: .opener, of: id, with: [UInt8](frame.payload[4..<36]))
    }

    /// Preface and ATTACH, sealed; `spoil` turns bits of its proof, and another role makes it the gateway's own proof.
    func attach(link: UInt32, epoch: UInt64, spoil: UInt8 = 0, as role: Role = .opener) throws -> [UInt8] {
        let items =
            item(0x8001, bytes(id.high) + bytes(id.low)) + item(0x8005, bytes(link)) + item(0x8006, bytes(epoch))
            + item(0x8007, bytes(UInt64(0)))
        let header = FrameHeader(type: .attach, window: 16, length: UInt32(items.count + 4 + Wire.proofLength))
        let frame = header.encodedBytes + items
        var proof = try proof(of: frame, as: role)
        proof[0] ^= spoil
        return Wire.preface + frame + item(0x800d, proof)
    }

    /// Whether an ATTACHED is proven, as the gateway's and nobody else's.
    func isProven(_ attached: HandMadeOpener.Frame) throws -> Bool {
        let items = attached.payload.dropLast(4 + Wire.proofLength)
        let proof = try proof(of: attached.header.encodedBytes + items, as: .acceptor)
        return attached.payload.suffix(4 + Wire.proofLength).elementsEqual(item(0x800d, proof))
    }

    /// Zeros without a key.
    private func proof(of frame: [UInt8], as role: Role) throws -> [UInt8] {
        try key?.proof(of: Array("USL/1 attach".utf8) + [role.rawValue] + frame)
            ?? [UInt8](repeating: 0, count: Wire.proofLength)
    }

    private func item(_ type: UInt16, _ value: [UInt8]) -> [UInt8] { bytes(type) + bytes(UInt16(value.count)) + value }

    private func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { [UInt8]($0) }
    }
}

extension HandMadeOpener.Frame {
    /// The code of REFUSED, or the reason of GONE.
    var code: UInt16? {
        var rest = payload[...]
        while rest.count >= 4 {
            let head = rest.prefix(4).map { UInt16($0) }
            let (type, length) = (head[0] << 8 | head[1], Int(head[2] << 8 | head[3]))
            let value = rest.dropFirst(4).prefix(length)
            if type == 0x000a { return value.reduce(0) { $0 << 8 | UInt16($1) } }
            rest = rest.dropFirst(4 + length)
        }
        return nil
    }
}
