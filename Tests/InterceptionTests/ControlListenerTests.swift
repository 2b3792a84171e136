import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Interception

@Suite struct ControlListenerTests {
    let temporary: TemporaryDirectory
    let path: String

    init() throws {
        temporary = try TemporaryDirectory()
        path = temporary.path + "/agent.sock"
    }

    @Test func aRequestArrivesWithItsSenderAndSocket() throws {
        let listener = try ControlListener(path: path)
        #expect(try listener.accept() == nil)
        let client = try ControlConnection(path: path)
        let server = try unwrap(listener.accept())
        #expect(server.peer.process == getpid() && server.peer.user == geteuid())
        guard case .nothing = try server.receive() else {
            Issue.record("nothing was sent")
            return
        }

        let socket = try tcpSocket(AF_INET)
        let asked = AddressBytes(Kind.v4.destination)
        let encoded = ControlRequest.connect(to: asked, blocking: true).encoded()
        let bytes = encoded.indices.map { encoded[$0] }
        try DescriptorPassing.send(bytes, passing: socket.number, over: client.descriptor.number)
        guard case .request(.connect(asked, blocking: true, process: 0), let copy?) = try server.receive() else {
            Issue.record("the request did not arrive")
            return
        }
        let cookies = try [socket.number, copy.number].map {
            try SocketOption.read(SOL_SOCKET, SO_COOKIE, of: $0, initial: UInt64(0))
        }
        #expect(cookies[0] == cookies[1])

        try server.send(.refused(ECONNREFUSED))
        var answer = [UInt8](repeating: 0, count: 100)
        #expect(recv(client.descriptor.number, &answer, answer.count, 0) == ControlMessage.size)
        answer.removeLast(answer.count - ControlMessage.size)
        #expect(ControlResponse(answer.span) == .refused(ECONNREFUSED))
    }

    /// The directory keeps others out already; the socket does so by itself, whoever can reach it.
    @Test(.enabled(if: geteuid() == 0)) func anotherUserIsTurnedAway() throws {
        let listener = try ControlListener(path: path)
        chmod(temporary.path, 0o755)
        chmod(path, 0o666)
        let script = """
            import os, socket, sys
            os.setuid(65534)
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            s.settimeout(20)
            sys.exit(s.recv(1) != b'')
            """
        let client = try ChildProcess.spawn(["/usr/bin/python3", "-c", script, path])
        try wait(listener.descriptor.number, for: POLLIN)
        let isAdmitted = try listener.accept() != nil
        #expect(!isAdmitted)
        #expect(try client.wait() == .exited(0))
        // It keeps nobody else out.
        let own = try ControlConnection(path: path)
        let server = try unwrap(listener.accept())
        #expect(server.peer.user == geteuid())
        _ = own.descriptor.number
    }

    @Test func statusIsARequest() throws {
        let listener = try ControlListener(path: path)
        let client = try ControlConnection(path: path)
        try client.request(.status)
        let server = try unwrap(listener.accept())
        guard case .request(.status, nil) = try server.receive() else {
            Issue.record("no status request")
            return
        }
    }

    @Test(arguments: [1, 47]) func aFragmentIsMalformed(length: Int) throws {
        let listener = try ControlListener(path: path)
        let client = try ControlConnection(path: path)
        try DescriptorPassing.send([UInt8](repeating: 1, count: length), over: client.descriptor.number)
        let server = try unwrap(listener.accept())
        guard case .malformed = try server.receive() else {
            Issue.record("a fragment passed for a request")
            return
        }
    }

    @Test func theEndIsSeen() throws {
        let listener = try ControlListener(path: path)
        _ = try ControlConnection(path: path)
        let server = try unwrap(listener.accept())
        guard case .end = try server.receive() else {
            Issue.record("no end")
            return
        }
    }

    @Test func aDeadSocketIsReplacedAndALiveOneIsNot() throws {
        _ = try ControlListener(path: path)
        let listener = try ControlListener(path: path)
        #expect(throws: Errno.addressInUse) { _ = try ControlListener(path: path) }
        _ = try ControlConnection(path: path)
        #expect(try listener.accept() != nil)
    }

    @Test func aPathBeyondTheKernelsLimitIsAnError() {
        let long = temporary.path + "/" + String(repeating: "x", count: 108)
        #expect(throws: Errno.fileNameTooLong) { _ = try ControlListener(path: long) }
    }

    @Test func addressesSurviveTheKernelsForm() {
        for kind in Kind.allCases {
            #expect(SocketAddress(AddressBytes(kind.destination)) == kind.destination)
        }
        #expect(SocketAddress(AddressBytes(count: 28) { _ in 0xff }!) == nil)
        #expect(SocketAddress(AddressBytes(count: 1) { _ in 2 }!) == nil)
    }

    @Test func programsHaveNames() {
        #expect(ProgramName.of(pid: getpid())?.isEmpty == false)
        #expect(ProgramName.of(pid: -1) == nil)
    }
}
