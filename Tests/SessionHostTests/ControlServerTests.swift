import CLinux
import Interception
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Engine
@testable import SessionHost

@Suite("Control server")
struct ControlServerTests {
    private final class Server {
        let loop: EventLoop
        let path: String
        private let directory: TemporaryDirectory
        private let server: ControlServer
        private static let limits = ArenaLimits(capacity: 1 << 20)

        init(isAgent: Bool) throws {
            directory = try TemporaryDirectory()
            path = directory.path + "/c.sock"
            loop = try EventLoop(arena: Self.limits)
            let note = Note()
            let handlers = ControlServer.AgentHandlers(
                connect: { library, address, blocking, _, _ in
                    note.connected.append((address, blocking))
                    note.events.append("connect")
                    _ = try? library.send(.direct)
                },
                names: { cookie in
                    guard cookie == 7, let peer = AddressBytes(count: 2, byte: { UInt8($0) }),
                        let local = AddressBytes(count: 3, byte: { UInt8($0) })
                    else { return nil }
                    return SocketNames(peer: peer, local: local)
                }, resolved: { note.events.append($0.name) },
                associate: { library, _, _, _ in _ = try? library.send(.direct) }, relayed: { _, _ in nil },
                held: { library, _, _, _ in _ = try? library.send(.accepted) },
                listen: { library, _, _ in _ = try? library.send(.accepted) },
                listening: { address, process in
                    note.events.append("listening \(address.count), \(process == getpid())")
                },
                client: { leg, answer in answer(leg.count == 2 ? AddressBytes(count: 3) { UInt8($0) } : nil) },
                datagrams: { donor, _ in _ = try? donor.send(.accepted) },
                relayDatagrams: { donor, _, _, _ in _ = try? donor.send(.direct) })
            let listener = try ControlListener(path: path)
            server = try ControlServer(
                try listener.descriptor.duplicate(), on: loop,
                pool: LoopPool(main: loop, maximum: 1, arenaLimits: Self.limits), connect: isAgent ? handlers : nil)
            self.note = note
        }

        final class Note {
            var connected: [(AddressBytes, Bool)] = []
            /// What came, in its order.
            var events: [String] = []
        }
        let note: Note

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

    @Test("a resolved name reaches the agent, before the connection that its program makes next")
    func resolved() throws {
        let server = try Server(isAgent: true)
        let name = Array("db1".utf8)
        var message = try #require(ResolvedMessage(nameCount: 3) { name[$0] })
        message.append(.v4(0xc000_0201))
        let library = try ControlConnection(path: server.path)
        let head = ControlRequest.resolved(byteCount: message.count).encoded()
        let bytes = head.indices.map { head[$0] } + (0..<message.count).map { message[$0] }
        try DescriptorPassing.send(bytes, over: library.descriptor.number)
        let next = try ControlConnection(path: server.path)
        let asked = try #require(AddressBytes(count: 16) { UInt8($0) })
        let socket = Descriptor(owning: try check(CLinux.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)))
        try next.request(.connect(to: asked, blocking: true), passing: socket.number)
        #expect(try server.answer(to: next).count == ControlMessage.size)
        #expect(server.note.events == ["db1", "connect"])
        #expect(try server.answer(to: library).isEmpty)
    }

    @Test(
        "a resolved name whose bytes are not all there is hung up on, and so is one at a gateway",
        arguments: [true, false])
    func unresolved(isAgent: Bool) throws {
        let server = try Server(isAgent: isAgent)
        let client = try ControlConnection(path: server.path)
        try client.request(.resolved(byteCount: 9))
        #expect(try server.answer(to: client).isEmpty)
        #expect(server.note.events.isEmpty)
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
