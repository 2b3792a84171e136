import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

/// getpeername(2) and getsockname(2) of real programs under the preload library.
@Suite struct PreloadNamesTests {
    let agent: FakeAgent

    init() throws { agent = try FakeAgent() }

    @Test(arguments: Kind.allCases) func itIsWhatWasAskedFor(kind: Kind) throws {
        let program = try Program.python(
            "s = socket.socket(family); s.connect(target); say(s.getpeername()[:2] == target)",
            to: kind.destination, agent: agent.path)
        let opened = try agent.openLeg()
        try agent.serve(program, answer: FakeAgent.naming(opened.cookie, kind.destination))
        #expect(try program.finish() == ["True"])
        _ = opened.leg.application
    }

    @Test func itSurvivesDupForkAndExec() throws {
        let program = try Program.python(
            """
            s = socket.socket(family)
            s.connect(target)
            say(s.dup().getpeername() == target)
            if os.fork() == 0:
                say(s.getpeername() == target)
                s.set_inheritable(True)
                script = "import os, socket; s = socket.socket(fileno=%d); print(s.getpeername() == %r, flush=True); os._exit(0)"
                os.execvp("python3", ["python3", "-c", script % (s.fileno(), target)])
            say(os.wait()[1])
            """, to: Kind.v4.destination, agent: agent.path)
        let opened = try agent.openLeg()
        try agent.serve(program, answer: FakeAgent.naming(opened.cookie, Kind.v4.destination))
        #expect(try program.finish() == ["True", "True", "True", "0"])
        _ = opened.leg.application
    }

    @Test func anotherLoopbackPeerIsShownAsItIs() throws {
        let server = try LegListener(family: AF_INET)
        let program = try Program.python(
            "s = socket.socket(family); s.connect(target); say(s.getpeername() == target)",
            to: server.address, agent: agent.path)
        var namesAsked = 0
        try agent.serve(program) {
            if case .connect = $0 { return .direct }
            namesAsked += 1
            return .notMine
        }
        #expect(namesAsked == 1)
        #expect(try program.finish() == ["True"])
        _ = server.address
    }

    @Test(arguments: Kind.allCases) func theLocalNameIsWhatItWouldBe(kind: Kind) throws {
        let program = try Program.python(
            "s = socket.socket(family); s.connect(target); say(s.getsockname()[:2] == target)",
            to: kind.destination, agent: agent.path)
        let opened = try agent.openLeg()
        // Any address that no leg has will do.
        try agent.serve(
            program, answer: FakeAgent.naming(opened.cookie, kind.destination, local: kind.destination))
        #expect(try program.finish() == ["True"])
        _ = opened.leg.application
    }

    /// Those of listeners and datagram sockets are not asked for at all.
    @Test func otherLocalNamesAreShownAsTheyAre() throws {
        let program = try Program.python(
            """
            made = []
            for kind, listens in ((socket.SOCK_STREAM, True), (socket.SOCK_DGRAM, False)):
                s = socket.socket(family, kind)
                s.bind(('127.0.0.1', 0))
                if listens: s.listen()
                made.append(s)
                say(s.getsockname()[0])
            """, to: Kind.v4.destination, agent: agent.path)
        #expect(try program.finish() == ["127.0.0.1", "127.0.0.1"])
        try agent.expectSilence()
    }

    @Test func anUnconnectedSocketHasNone() throws {
        let program = try Program.python(
            """
            try: socket.socket(family).getpeername()
            except OSError as error: say(errno.errorcode[error.errno])
            """, to: Kind.v4.destination, agent: agent.path)
        #expect(try program.finish() == ["ENOTCONN"])
        try agent.expectSilence()
    }
}
