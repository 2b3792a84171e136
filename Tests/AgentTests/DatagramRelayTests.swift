import CLinux
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Agent
@testable import Engine

@Suite("Datagram relay")
struct DatagramRelayTests {
    @Test("a server that answers is asked once, at one socket, and nobody else is")
    func healthy() throws {
        let lab = try RelayLab()
        for text in ["a", "b"] {
            lab.say(text)
            try lab.answer(0, text, with: "re:\(text)")
        }
        #expect(Set(lab.servers[0].askers).count == 1 && lab.searches == 0)
        // Two to one request, as some protocols have it.
        lab.servers[0].say("more")
        try lab.expect("more")
        #expect(lab.others.allSatisfy { $0.heard.isEmpty })
    }

    @Test("a silent server: another is asked after the delay, and once known, without one")
    func silent() throws {
        let lab = try RelayLab()
        lab.say("a")
        let begin = lab.loop.now
        try lab.answer(1, "a", with: "re:a")
        #expect(lab.loop.now - begin >= RelayLab.delay)
        #expect(lab.servers[0].heard == ["a"])
        lab.say("b")
        let second = lab.loop.now
        try lab.answer(1, "b", with: "re:b")
        #expect(lab.loop.now - second < RelayLab.delay)
        // It is asked all the same: it may be back.
        #expect(lab.servers[0].heard == ["a", "b"] && lab.searches == 1)
        #expect(lab.explanations.count == 1)
    }

    @Test("a second answer never reaches the application, neither after its request nor in the place of another's")
    func secondAnswer() throws {
        let lab = try RelayLab()
        lab.say("a")
        try lab.answer(1, "a", with: "re:a")
        lab.say("b")
        try lab.wait { lab.servers[0].heard == ["a", "b"] && lab.servers[1].heard == ["a", "b"] }
        lab.servers[0].say("late:a", to: 0)
        lab.servers[1].say("re:b")
        try lab.expect("re:b")
        lab.servers[0].say("late:b", to: 1)
        try lab.expectSilence()
    }

    @Test("whoever is back is asked alone again")
    func recovery() throws {
        let lab = try RelayLab()
        lab.say("a")
        try lab.answer(1, "a", with: "re:a")
        // Slower than the other, but not silent.
        lab.say("b")
        try lab.answer(1, "b", with: "re:b")
        try lab.wait { lab.servers[0].heard.count == 2 }
        lab.servers[0].say("late:b", to: 1)
        try lab.expectSilence()
        lab.say("c")
        try lab.answer(0, "c", with: "re:c")
        #expect(lab.servers[1].heard == ["a", "b"])
    }

    @Test("a refused request goes on at once, and others that wait with it")
    func refused() throws {
        let lab = try RelayLab()
        lab.servers[0].close()
        lab.say("a")
        lab.say("b")
        let begin = lab.loop.now
        try lab.wait { lab.servers[1].heard.count == 2 }
        #expect(lab.loop.now - begin < RelayLab.delay)
        lab.servers[1].say("re:a")
        try lab.expect("re:a")
        lab.servers[1].say("re:b")
        try lab.expect("re:b")
    }

    @Test("requests that wait on a socket that is given up are sent again on the next")
    func overtaken() throws {
        let lab = try RelayLab()
        lab.say("a")
        try lab.wait { lab.servers[1].heard == ["a"] }
        lab.say("b")
        try lab.wait { lab.servers[0].heard == ["a", "b"] }
        lab.servers[1].say("re:a")
        try lab.expect("re:a")
        // From another port: so what answers there answers this one.
        try lab.wait { lab.servers[0].heard == ["a", "b", "b"] }
        #expect(Set(lab.servers[0].askers).count == 2)
        lab.servers[0].say("re:b")
        try lab.expect("re:b")
    }

    @Test("where all refuse, a connected application is refused by the kernel, and is served again later")
    func refusedEverywhere() throws {
        let lab = try RelayLab(alternates: 0)
        lab.servers[0].close()
        try lab.connectApplication()
        for _ in 0..<2 {
            try lab.keepCopy()
            lab.say("a")
            try lab.wait { lab.applicationError() == .connectionRefused }
            try lab.wait { lab.relay.refusalEnd == nil }
        }
        let server = try TestServer(at: lab.servers[0].address)
        lab.say("b")
        try lab.wait { server.listen() == ["b"] }
        server.say("re:b")
        try lab.expect("re:b")
    }

    @Test("refused while others are looked for: the application waits for them, though not for long")
    func refusedWhileSearching() throws {
        let lab = try RelayLab(alternates: 0, endsSearch: false)
        lab.servers[0].close()
        try lab.connectApplication()
        try lab.keepCopy()
        lab.say("a")
        let begin = lab.loop.now
        try lab.wait { lab.applicationError() == .connectionRefused }
        #expect((Interval.milliseconds(900)...Interval.seconds(3)).contains(lab.loop.now - begin))
    }

    @Test("nobody answers: what is waited for is bounded, in time and in number")
    func bounds() throws {
        let lab = try RelayLab()
        for number in 0..<100 { lab.say("\(number)") }
        try lab.wait { lab.servers[0].heard.count == 100 }
        #expect(lab.relay.requests.count == DatagramRelay.maximumRequests)
        try lab.wait { lab.relay.requests.isEmpty }
        #expect(lab.loop.now - lab.begin >= RelayLab.budget)
        #expect(lab.relay.timer == nil || lab.relay.overtaken.count > 0)
    }

    @Test("datagrams of others than the application go nowhere")
    func strangers() throws {
        let lab = try RelayLab()
        lab.isRight = false
        lab.say("a")
        try lab.expectSilence()
        #expect(lab.servers[0].heard.isEmpty)
    }

    @Test("long ones pass whole, empty ones too")
    func sizes() throws {
        let lab = try RelayLab()
        for text in [String(repeating: "x", count: 65_507), ""] {
            lab.say(text)
            try lab.answer(0, text, with: text)
        }
    }
}

/// A relay between an application and servers, all on loopback.
private final class RelayLab {
    static let delay = Interval.milliseconds(100)
    static let budget = Interval.seconds(1)

    let loop: EventLoop
    let servers: [TestServer]
    private(set) var relay: DatagramRelay!
    let begin: Instant
    private let application: DatagramSocket
    var isRight = true
    private(set) var searches = 0
    private(set) var explanations: [String] = []
    private(set) var received: [String] = []
    private var failure: Errno?

    var others: ArraySlice<TestServer> { servers.dropFirst() }

    init(alternates: Int = 2, endsSearch: Bool = true) throws {
        loop = try makeLoop()
        begin = loop.now
        let first = try TestServer(at: SocketAddress(host: .v4(0x7f00_0101), port: 0))
        let port = first.address.port
        let others = try (0..<alternates).map {
            try TestServer(at: SocketAddress(host: .v4(0x7f00_0102 + UInt32($0)), port: port))
        }
        servers = [first] + others
        let pairs = servers.map { CandidatePair(source: nil, destination: IPAddress($0.address.host)) }
        application = try DatagramSocket(family: AF_INET)
        try application.bind(to: .loopback(like: .v4(0), port: 0))
        var places = RelayPlaces(seed: UInt16(truncatingIfNeeded: getpid()))
        relay = try DatagramRelay(
            places.socket(like: first.address),
            for: .init(user: geteuid(), destination: first.address, source: nil), from: nil,
            .init(
                paths: AnsweringPaths(),
                timing: AttemptTiming(delay: Self.delay.nanoseconds, budget: Self.budget.nanoseconds),
                find: { [unowned self] found, done in
                    searches += 1
                    found(pairs)
                    if endsSearch { done() }
                },
                isApplication: { [unowned self] _, _ in isRight },
                explain: { [unowned self] in explanations.append($0) }), on: loop)
    }

    deinit { relay?.end() }

    func say(_ text: String) {
        let bytes = Array(text.utf8)
        bytes.withUnsafeBytes { try? application.send($0, to: relay.address) }
    }

    func connectApplication() throws { try application.connect(to: relay.address) }

    func keepCopy() throws {
        relay.keep(Descriptor(owning: try check(usl_fcntl(application.number, F_DUPFD_CLOEXEC, 0))))
    }

    /// What the kernel says to the application, once.
    func applicationError() -> Errno? {
        listen()
        defer { failure = nil }
        return failure
    }

    private func listen() {
        var room = [UInt8](repeating: 0, count: 65_536)
        do throws(Errno) {
            while let datagram = try room.withUnsafeMutableBufferPointer({ (room) throws(Errno) in
                try application.receive(into: UnsafeMutableRawBufferPointer(room))
            }) {
                #expect(datagram.sender == relay.address)
                received.append(String(decoding: room[..<datagram.count], as: UTF8.self))
            }
        } catch {
            failure = error
        }
    }

    func wait(sourceLocation: SourceLocation = #_sourceLocation, until condition: () -> Bool) throws {
        try turn(loop, sourceLocation: sourceLocation) {
            for server in servers { server.listen() }
            return condition()
        }
    }

    /// The application gets this, and nothing else before.
    func expect(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try wait(sourceLocation: sourceLocation) {
            listen()
            return !received.isEmpty
        }
        #expect(received == [text], sourceLocation: sourceLocation)
        received = []
    }

    /// Waits until a server has been asked, and lets it answer.
    func answer(
        _ server: Int, _ question: String, with text: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try wait(sourceLocation: sourceLocation) { servers[server].heard.last == question }
        servers[server].say(text)
        try expect(text, sourceLocation: sourceLocation)
    }

    /// What was sent before has come to the relay, and nothing to the application.
    func expectSilence(sourceLocation: SourceLocation = #_sourceLocation) throws {
        for _ in 0..<3 {
            loop.mailbox.post { _ in }
            loop.turn()
        }
        listen()
        #expect(received.isEmpty, sourceLocation: sourceLocation)
    }
}

private final class TestServer {
    let address: SocketAddress
    private var socket: DatagramSocket?
    private(set) var heard: [String] = []
    private(set) var askers: [SocketAddress] = []

    init(at address: SocketAddress) throws {
        let socket = try DatagramSocket(family: AF_INET)
        try socket.bind(to: address)
        self.address = try socket.localAddress()
        self.socket = consume socket
    }

    func close() { socket = nil }

    @discardableResult
    func listen() -> [String] {
        var room = [UInt8](repeating: 0, count: 65_536)
        while let datagram = room.withUnsafeMutableBytes({ room in try? socket?.receive(into: room) }) {
            heard.append(String(decoding: room[..<datagram.count], as: UTF8.self))
            askers.append(datagram.sender)
        }
        return heard
    }

    /// Answers the last question, or the one of this number.
    func say(_ text: String, to number: Int? = nil) {
        Array(text.utf8).withUnsafeBytes { bytes in
            try? socket?.send(bytes, to: number.map { askers[$0] } ?? askers.last)
        }
    }
}
