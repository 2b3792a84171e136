import Kernel
import Policy
import SessionHost
import SessionProtocol
import Testing
import Transport

@testable import Gateway
@testable import SessionHost

/// What those may make a gateway hold who have proven nothing.
@Suite("Bounds of strangers")
struct StrangerBoundsTests {
    private func limits(_ change: (inout StrangerLimits) -> Void) -> StrangerLimits {
        var limits = StrangerLimits()
        change(&limits)
        return limits
    }

    private func report(_ gateway: GatewayUnderTest) throws -> StrangerReport {
        try #require(gateway.ask(\.strangers.report))
    }

    /// Waits until a figure has come true: what the front door does with a connection, it does when that arrives.
    private func expect(
        _ gateway: GatewayUnderTest, _ condition: (StrangerReport) -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let end = ContinuousClock.now + .seconds(10)
        while ContinuousClock.now < end {
            if condition(try report(gateway)) { return }
        }
        Issue.record("\(try report(gateway))", sourceLocation: sourceLocation)
    }

    @Test("of too many connections from one address the oldest is closed, and another address loses none")
    func perAddress() throws {
        let gateway = try GatewayUnderTest(strangers: limits { $0.handshakesPerAddress = 3 })
        let other = try HandMadeOpener(gateway.address, from: "127.0.0.2")
        let silent = try (0..<3).map { _ in try HandMadeOpener(gateway.address) }
        try expect(gateway) { $0.handshakes.now == 4 }
        let newcomer = try HandMadeOpener(gateway.address)
        #expect(try silent[0].hasEnded(within: 10_000))
        try expect(gateway) { $0.handshakes.now == 4 && $0.turnedAway == [.handshakesPerAddress: 1] }
        for opener in [other, silent[1], silent[2], newcomer] {
            opener.say(Wire.preface)
            #expect(try opener.receive() == Wire.preface)
        }
    }

    @Test("of too many connections in all, the address with the most loses its oldest")
    func inAll() throws {
        let gateway = try GatewayUnderTest(strangers: limits { $0.handshakes = 4 })
        let other = try HandMadeOpener(gateway.address, from: "127.0.0.2")
        let many = try (0..<3).map { _ in try HandMadeOpener(gateway.address, from: "127.0.0.3") }
        try expect(gateway) { $0.handshakes.now == 4 }
        let newcomer = try HandMadeOpener(gateway.address)
        #expect(try many[0].hasEnded(within: 10_000))
        try expect(gateway) { $0.handshakes.now == 4 && $0.turnedAway == [.handshakes: 1] }
        for opener in [other, many[1], many[2], newcomer] {
            opener.say(Wire.preface)
            #expect(try opener.receive() == Wire.preface)
        }
    }

    /// Silent connections from the address of a session and from elsewhere take all the room that there is.
    @Test("who comes back to a session finds room in a flood", arguments: ["127.0.0.1", "127.0.0.9"])
    func resume(source: String) throws {
        let gateway = try GatewayUnderTest(
            strangers: limits {
                $0.handshakes = 20
                $0.handshakesPerAddress = 10
            })
        let (session, _) = try gateway.openSession()
        var silent: [HandMadeOpener] = []
        for round in 1...5 {
            silent += try (0..<25).map { try HandMadeOpener(gateway.address, from: "127.0.0.\($0 % 3 + 1)") }
            let comer = try HandMadeOpener(gateway.address, from: source)
            comer.say(try session.attach(link: UInt32(round), epoch: UInt64(round)))
            let answer = try comer.hear()
            #expect(answer?.header.type == .attached && answer?.header.flags == 0)
        }
        try expect(gateway) { report in
            let cut = report.turnedAway[.handshakes, default: 0] + report.turnedAway[.handshakesPerAddress, default: 0]
            return report.handshakes.now <= 20 && cut >= 100
        }
        _ = silent.count
    }

    /// Whoever has been answered and does not close takes a place too.
    @Test("who was dismissed counts until he has gone")
    func dismissed() throws {
        let gateway = try GatewayUnderTest(strangers: limits { $0.handshakesPerAddress = 2 })
        var openers: [HandMadeOpener] = []
        for number in 0..<3 {
            let opener = try HandMadeOpener(gateway.address)
            openers.append(opener)
            opener.say(try HandMadeSession(UInt64(number), to: gateway.serverAddress).attach(link: 1, epoch: 1))
            #expect(try opener.hear()?.header.type == .gone)
        }
        try expect(gateway) { $0.handshakes.now == 2 && $0.turnedAway[.handshakesPerAddress] == 1 }
        openers = []
        try expect(gateway) { $0.handshakes.now == 0 }
    }

    @Test("who is slow, or long, is let go")
    func slowAndLong() throws {
        let gateway = try GatewayUnderTest(
            strangers: limits {
                $0.handshakeTime = .milliseconds(300)
                $0.handshakeBytes = 512
            })
        let slow = try HandMadeOpener(gateway.address)
        // Bytes now and then make no difference: the bound is absolute.
        let greeting = try HandMadeSession(1, to: gateway.serverAddress).greeting
        let begin = ContinuousClock.now
        var bytes = greeting.makeIterator()
        repeat {
            if let byte = bytes.next() { slow.say([byte]) }
        } while try !slow.hasEnded(within: 60) && ContinuousClock.now - begin < .seconds(8)
        #expect(ContinuousClock.now - begin < .seconds(5))
        let long = try HandMadeOpener(gateway.address)
        let header = FrameHeader(type: .open, length: 513).encodedBytes
        long.say(Wire.preface + header + [UInt8](repeating: 0, count: 512))
        #expect(try !long.hasEnded(within: 20))
        long.say([0])
        #expect(try long.hasEnded(within: 10_000))
        try expect(gateway) { $0.turnedAway == [.handshakeTime: 1, .handshakeBytes: 1] && $0.handshakes.now == 0 }
    }

    /// A listener whose queue is full answers no SYN.
    @Test("sessions that are being opened are bounded, in all and for one address")
    func opening() throws {
        let gateway = try GatewayUnderTest(
            allow: "127.0.0.1:1-65535",
            strangers: limits {
                $0.opening = 3
                $0.openingPerAddress = 2
            })
        let full = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0), backlog: 0)
        let plug = try HandMadeOpener(full.localAddress())
        var number: UInt64 = 0
        func open(from source: String) throws -> HandMadeOpener {
            number += 1
            let opener = try HandMadeOpener(gateway.address, from: source)
            opener.say(try HandMadeSession(number, to: full.localAddress()).greeting)
            return opener
        }
        let waiting = try ["127.0.0.1", "127.0.0.1", "127.0.0.2"].map { source in
            let opener = try open(from: source)
            let count = number
            try expect(gateway) { $0.opening.now == Int(count) && $0.handshakes.now == 0 }
            return opener
        }
        for source in ["127.0.0.1", "127.0.0.3"] {
            #expect(try open(from: source).hear()?.code == RefusedMessage.Code.exhausted.rawValue)
        }
        try expect(gateway) { $0.turnedAway == [.openingPerAddress: 1, .opening: 1] }
        // Neither those that wait for their targets nor those that were refused keep others out.
        #expect(try open(from: "127.0.0.3").hear()?.header.type == .refused)
        _ = (waiting.count, plug)
    }

    @Test("a session that could not be opened makes room")
    func openingFails() throws {
        let gateway = try GatewayUnderTest(
            allow: "127.0.0.1:1-65535", strangers: limits { $0.opening = 1 })
        let nobody = try TCPSocket.listen(on: .loopback(like: .v4(0), port: 0)).localAddress()
        for number in 1...3 as ClosedRange<UInt64> {
            let opener = try HandMadeOpener(gateway.address)
            opener.say(try HandMadeSession(number, to: nobody).greeting)
            #expect(try opener.hear()?.code == RefusedMessage.Code.connectionRefused.rawValue)
        }
        let (_, opener) = try gateway.openSession()
        _ = opener
        try expect(gateway) { $0.opening.now == 0 && $0.turnedAway.isEmpty }
    }
}
