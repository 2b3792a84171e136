import CLinux
import Interception
import Kernel
import SystemPackage
import Testing

/// An attempt on the application's own socket, and what the agent makes of its failure.
@Suite struct PreloadAttemptTests {
    private let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    /// Where nobody listens.
    private func nobody() throws -> SocketAddress {
        let listener = try LegListener(family: AF_INET)
        return listener.address
    }

    private static let connects =
        "s = socket.socket(family); say(errno.errorcode.get(s.connect_ex(target), 'connected'))"

    /// The library says no more when the attempt succeeds: the end of its connection is all that the agent hears.
    @Test func itSucceeds() throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(Self.connects, to: server.address, agent: agent.path)
        let call = try agent.next()
        try call.answer(.attempt(silence: 250, budget: 1000))
        #expect(try program.finish() == ["connected"])
        try wait(call.connection.descriptor.number, for: POLLIN)
        guard case .end = try call.connection.receive() else {
            Issue.record("more than the end")
            return
        }
    }

    /// It fails: the agent is told how, with the socket, and says where to go instead, or that there is nothing else.
    @Test(arguments: [true, false]) func itFails(isElsewhere: Bool) throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(Self.connects, to: nobody(), agent: agent.path)
        let call = try agent.next()
        try call.answer(.attempt(silence: 250, budget: 1000))
        try wait(call.connection.descriptor.number, for: POLLIN)
        guard case .request(.attemptFailed(let code), let socket) = try call.connection.receive() else {
            Issue.record("no word of the failure")
            return
        }
        #expect(code == ECONNREFUSED)
        let copy = try unwrap(socket)
        _ = try ApplicationSocket(
            copy: copy, destination: server.address, hasOwnHost: false, hasOwnPort: false
        ).disconnected(
            hasOwnHost: false, hasOwnPort: false)
        try call.answer(isElsewhere ? .connectTo(AddressBytes(server.address)) : .direct)
        #expect(try program.finish() == [isElsewhere ? "connected" : "ECONNREFUSED"])
    }

    /// An agent that dies meanwhile takes nothing with it: the application has the error of its attempt.
    @Test func theAgentDies() throws {
        let program = try Program.python(Self.connects, to: nobody(), agent: agent.path)
        do {
            let call = try agent.next()
            try call.answer(.attempt(silence: 250, budget: 1000))
            try wait(call.connection.descriptor.number, for: POLLIN)
        }
        #expect(try program.finish() == ["ECONNREFUSED"])
    }

    /// An agent that takes the socket off its path and dies: the attempt is made anew, by the library alone.
    @Test func theAgentDiesWithTheSocket() throws {
        // One connection fills its queue, and the next SYN is dropped.
        let held = try HeldAddress(family: AF_INET)
        let program = try Program.python(
            "s = socket.socket(family); s.settimeout(1.5); say(s.connect_ex(target) != 0, s.getsockname()[1] != 0)",
            to: held.address, agent: agent.path)
        do {
            let call = try agent.next()
            try call.answer(.attempt(silence: 100, budget: 1000))
            try wait(call.connection.descriptor.number, for: POLLIN)
            guard case .request(.attemptFailed(0), let socket) = try call.connection.receive() else {
                Issue.record("no word of the silence")
                return
            }
            _ = try ApplicationSocket(
                copy: unwrap(socket), destination: held.address, hasOwnHost: false, hasOwnPort: false
            ).disconnected(
                hasOwnHost: false, hasOwnPort: false)
        }
        #expect(try program.finish() == ["True True"])
    }
}
