import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing

@testable import Interception

/// The preload library, as SwiftPM builds it beside the tests.
func preloadLibrary() throws -> String {
    let executable = try #require(linkTarget("/proc/self/exe"))
    let directory = executable[..<(try #require(executable.lastIndex(of: "/")))]
    let library = String(directory) + "/libuslpreload.so"
    try #require(
        access(library, R_OK) == 0, "\(library) is missing: run `swift build --product uslpreload` with these options")
    return library
}

/// Stands in for the agent: the test takes its requests one by one and answers them.
final class FakeAgent {
    private let temporary: TemporaryDirectory
    private let listener: ControlListener
    let path: String

    /// Readable when a program asks.
    var descriptor: Int32 { listener.descriptor.number }

    /// A request of a program that waits for the answer.
    struct Call: ~Copyable {
        let connection: ControlConnection
        let request: ControlRequest
        var socket: Descriptor?

        func answer(_ response: ControlResponse) throws { try connection.send(response) }

        /// Readies the socket of a `connect`, and closes the copy.
        mutating func prepareLeg(sourceLocation: SourceLocation = #_sourceLocation) throws -> ExpectedLeg {
            guard case .connect(let bytes, _, _) = request, let destination = SocketAddress(bytes) else {
                try #require(Bool(false), "no connect but \(request)", sourceLocation: sourceLocation)
                fatalError("unreachable")
            }
            let copy = try unwrap(socket.take(), sourceLocation: sourceLocation)
            let application = try ApplicationSocket(copy: copy, destination: destination)
            #expect(application.obstacle(network: try NetworkNamespace.own()) == nil)
            return try application.prepareLeg()
        }
    }

    init() throws {
        temporary = try TemporaryDirectory()
        path = temporary.path + "/agent.sock"
        listener = try ControlListener(path: path)
    }

    func next(sourceLocation: SourceLocation = #_sourceLocation) throws -> Call {
        try wait(listener.descriptor.number, for: POLLIN, sourceLocation: sourceLocation)
        let connection = try unwrap(listener.accept())
        try wait(connection.descriptor.number, for: POLLIN, sourceLocation: sourceLocation)
        switch try connection.receive() {
        case .request(let request, socket: let socket):
            return Call(connection: connection, request: request, socket: socket)
        default:
            try #require(Bool(false), "no request", sourceLocation: sourceLocation)
            fatalError("unreachable")
        }
    }

    /// Nothing has been asked since the last call.
    func expectSilence(sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try listener.accept() == nil, "the agent was asked", sourceLocation: sourceLocation)
    }

    /// A leg and the socket at its other end.
    struct Opened: ~Copyable {
        let cookie: UInt64
        let leg: Leg
    }

    /// Answers a `connect` with a leg and accepts it.
    func openLeg() throws -> Opened {
        var call = try next()
        let expected = try call.prepareLeg()
        let listener = try LegListener(family: expected.family)
        try call.answer(.leg(AddressBytes(expected.spelling(of: listener.address))))
        try wait(listener.descriptor.number, for: POLLIN)
        let leg = try unwrap(listener.accept())
        #expect(leg.application == expected.source)
        return Opened(cookie: expected.cookie, leg: leg)
    }

    /// A socket that waits for its verdict.
    struct Held: ~Copyable {
        var address: HeldAddress
        let expected: ExpectedLeg

        mutating func release() throws -> Leg {
            let opener = try address.release(to: expected.source, isMultipath: expected.isMultipath)
            if opener != nil { try address.meetApplication() }
            while true {
                try wait(address.releaseDescriptor, for: POLLIN)
                if let leg = try address.takeLeg() { return leg }
            }
        }

        consuming func refuse() { address.refuse() }
    }

    /// Answers a `connect` with a held address.
    func hold() throws -> Held {
        var call = try next()
        let expected = try call.prepareLeg()
        let held = try HeldAddress(family: expected.family)
        try call.answer(.held(AddressBytes(expected.spelling(of: held.address))))
        return Held(address: held, expected: expected)
    }

    /// Answers whatever `program` asks until it ends: interpreters ask for peers' names more often than one thinks.
    ///
    /// - Parameters:
    ///   - server: a listener of the test; what connects there gets `reply`.
    func serve(
        _ program: Program, server: Int32 = -1, reply: String = "",
        answer: (ControlRequest) -> ControlResponse
    ) throws {
        var legs: [Int32] = []
        defer { for leg in legs { close(leg) } }
        while true {
            var entries = [program.pidfd, descriptor, server].map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            let ready = try retrying { poll(&entries, nfds_t(entries.count), patience) }
            try #require(ready > 0, "the program hangs")
            if entries[1].revents != 0 {
                let call = try next()
                // Who tells of a name waits for no answer.
                if case .resolved = call.request { continue }
                try call.answer(answer(call.request))
            } else if entries[2].revents != 0, let leg = try LegSocket.accept(from: server) {
                // Lingering as a server does: a leg's close is a reset.
                try SocketOption.set(SOL_SOCKET, SO_LINGER, of: leg.descriptor.number, to: linger())
                try write(reply, to: leg.descriptor)
                shutdown(leg.descriptor.number, Int32(SHUT_WR))
                legs.append(try leg.descriptor.duplicate().release())
            } else if entries[0].revents != 0 {
                return
            }
        }
    }

    /// The answers to `peerName` and `localName` for one socket.
    static func naming(
        _ cookie: UInt64, _ peer: SocketAddress, local: SocketAddress? = nil
    ) -> (ControlRequest) -> ControlResponse {
        {
            switch $0 {
            case .peerName(cookie, _): .asked(AddressBytes(peer))
            case .localName(cookie): local.map { .asked(AddressBytes($0)) } ?? .notMine
            default: .notMine
            }
        }
    }
}

/// A real program under the preload library. Killed at the end, should it still run.
final class Program {
    private let child: ChildProcess
    private let output: Descriptor
    private var pending: [UInt8] = []

    var pid: pid_t { child.pid }
    var pidfd: Int32 { child.pidfd.number }

    /// - Parameters:
    ///   - agent: the value of `USL_AGENT`.
    ///   - datagramPorts: the value of `USL_UDP_PORTS`.
    ///   - transport: the value of `USL_TRANSPORT`.
    init(_ arguments: [String], agent: String?, datagramPorts: String? = nil, transport: String? = nil) throws {
        var ends: [Int32] = [0, 0]
        try check(pipe2(&ends, O_CLOEXEC))
        output = Descriptor(owning: ends[0])
        let write = Descriptor(owning: ends[1])
        var environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"]
        environment.append("LD_PRELOAD=" + (try preloadLibrary()))
        if let agent { environment.append("USL_AGENT=" + agent) }
        if let datagramPorts { environment.append("USL_UDP_PORTS=" + datagramPorts) }
        if let transport { environment.append("USL_TRANSPORT=" + transport) }
        child = try ChildProcess.spawn(
            arguments, environment: environment, standardOutput: write.number, standardError: write.number)
    }

    /// A Python program, after some imports and with the destination as `target`.
    static func python(
        _ script: String, to destination: SocketAddress, agent: String?, datagramPorts: String? = nil,
        transport: String? = nil
    ) throws -> Program {
        let prelude = """
            import ctypes, errno, os, select, signal, socket, sys
            target = ("\(destination.host)", \(destination.port))
            family = socket.\(destination.family == AF_INET ? "AF_INET" : "AF_INET6")
            def say(*words): print(*words, flush=True)

            """
        // Past the interpreter's finalisation, which asks for the peer's name of every socket that is still open.
        return try Program(
            ["python3", "-c", prelude + script + "\nos._exit(0)"], agent: agent,
            datagramPorts: datagramPorts, transport: transport)
    }

    deinit { _ = kill(child.pid, SIGKILL) }

    /// The next line of its output; nil at the end.
    func line(sourceLocation: SourceLocation = #_sourceLocation) throws -> String? {
        while true {
            if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = String(decoding: pending[..<end], as: UTF8.self)
                pending.removeSubrange(...end)
                return line
            }
            try wait(output.number, for: POLLIN, sourceLocation: sourceLocation)
            var bytes = [UInt8](repeating: 0, count: 4096)
            let count = try retrying { read(output.number, &bytes, bytes.count) }
            if count == 0 {
                defer { pending = [] }
                return pending.isEmpty ? nil : String(decoding: pending, as: UTF8.self)
            }
            pending += bytes[..<count]
        }
    }

    /// Reads the rest of the output and waits for the end.
    func finish(sourceLocation: SourceLocation = #_sourceLocation) throws -> [String] {
        var lines: [String] = []
        while let line = try line(sourceLocation: sourceLocation) { lines.append(line) }
        let end = try child.wait(milliseconds: patience)
        #expect(end == .exited(0), "\(lines)", sourceLocation: sourceLocation)
        return lines
    }
}
