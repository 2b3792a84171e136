import CLinux
import Interception
import Kernel
import SystemPackage
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Control server")
struct ControlServerTests {
    private final class Server {
        let loop: EventLoop
        let path: String
        private let directory: String
        private let server: ControlServer
        private static let limits = ArenaLimits(capacity: 1 << 20)

        init(isAgent: Bool) throws {
            var template = Array("/tmp/usl-control-XXXXXX".utf8CString)
            directory = try #require(mkdtemp(&template).map { String(cString: $0) })
            path = directory + "/c.sock"
            loop = try EventLoop(arena: Self.limits)
            let note = Note()
            let handlers = ControlServer.AgentHandlers(
                connect: { library, address, blocking, _ in
                    note.connected.append((address, blocking))
                    _ = try? library.send(.direct)
                },
                names: { cookie in
                    guard cookie == 7, let peer = AddressBytes(count: 2, byte: { UInt8($0) }),
                        let local = AddressBytes(count: 3, byte: { UInt8($0) })
                    else { return nil }
                    return SocketNames(peer: peer, local: local)
                })
            let listener = try ControlListener(path: path)
            server = try ControlServer(
                try listener.descriptor.duplicate(), on: loop,
                pool: LoopPool(main: loop, maximum: 1, arenaLimits: Self.limits), connect: isAgent ? handlers : nil)
            self.note = note
        }

        final class Note { var connected: [(AddressBytes, Bool)] = [] }
        let note: Note

        deinit {
            unlink(path)
            rmdir(directory)
        }

        /// Everything that the client hears, up to the end of the connection.
        func answer(to client: borrowing ControlConnection) throws -> [UInt8] {
            var heard: [UInt8] = []
            var room = [UInt8](repeating: 0, count: 4096)
            let end = ContinuousClock.now + .seconds(10)
            while ContinuousClock.now < end {
                loop.mailbox.post { _ in }
                loop.turn()
                let count = recv(client.descriptor.number, &room, room.count, Int32(MSG_DONTWAIT))
                if count == 0 { return heard }
                if count > 0 { heard += room[..<count] }
            }
            throw Errno.timedOut
        }
    }

    @Test("the status is JSON, up to the end of the connection; asking twice changes nothing", arguments: [1, 2])
    func status(times: Int) throws {
        let server = try Server(isAgent: false)
        let client = try ControlConnection(path: server.path)
        for _ in 0..<times { try client.request(.status) }
        let text = String(decoding: try server.answer(to: client), as: UTF8.self)
        #expect(text == "{\"sessions\":[]}\n")
    }

    @Test("what is no request is hung up on", arguments: [1, 48, 100])
    func garbage(count: Int) throws {
        let server = try Server(isAgent: true)
        let client = try ControlConnection(path: server.path)
        try DescriptorPassing.send([UInt8](repeating: 0xff, count: count), over: client.descriptor.number)
        #expect(try server.answer(to: client).isEmpty)
        #expect(server.note.connected.isEmpty)
    }

    @Test("a client that goes without a word leaves nothing behind")
    func silentClient() throws {
        let server = try Server(isAgent: true)
        do {
            _ = try ControlConnection(path: server.path)
        }
        let client = try ControlConnection(path: server.path)
        try client.request(.status)
        #expect(isJSON(String(decoding: try server.answer(to: client), as: UTF8.self)))
    }
}
