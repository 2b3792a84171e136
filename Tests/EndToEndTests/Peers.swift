import NetworkLab
import Testing

/// Small servers and clients in Python, for what a connection's ends may do to it.
enum Peers {
    /// What both sides use.
    private static let prelude = #"""
        import errno, fcntl, hashlib, json, os, random, select, signal, socket, struct, subprocess, sys, threading, time
        MEBIBYTE = random.Random(1).randbytes(1 << 20)
        def digest(data): return hashlib.sha256(data).hexdigest()
        def say(*words): os.write(1, (' '.join(map(str, words)) + '\n').encode())
        def name(error): return errno.errorcode[error.errno] if error.errno else str(error)
        def rest(s):
            """All that is still to come, and how it ends: EOF or the name of an error."""
            data = bytearray()
            try:
                while piece := s.recv(65536): data += piece
                return bytes(data), 'EOF'
            except OSError as error:
                return bytes(data), name(error)
        def exactly(s, count):
            data = bytearray()
            while len(data) < count:
                piece = s.recv(count - len(data))
                assert piece, f'the end after {len(data)} of {count} bytes'
                data += piece
            return bytes(data)
        def reset(s):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
            s.close()
        def connect(port, host='server'): return socket.create_connection((host, port))
        def pingpong(s, rounds, size=64):
            for number in range(rounds):
                ping = random.Random(number).randbytes(size)
                s.sendall(ping)
                assert exactly(s, size) == ping, f'round {number}'
        def all_sent(s): return struct.unpack('i', fcntl.ioctl(s, 0x5411, b'0000'))[0] == 0  # SIOCOUTQ
        def eventually(condition, limit=10):
            end = time.monotonic() + limit
            while not condition():
                assert time.monotonic() < end, 'does not come true'
                time.sleep(0.01)

        """#

    /// One server for each way to treat a connection. Each says on standard output how its connections ended.
    private static let behaviours = #"""
        def ended(port, s):
            data, how = rest(s)
            say(port, len(data), digest(data), how)
        def closes(s): s.close()
        def banner(s):
            s.sendall(b'220 ready\n')
            echo(s)
        def answers_behind_the_end(s):
            ended(7003, s)
            s.sendall(MEBIBYTE)
            s.close()
        def ends_first(s):
            s.sendall(MEBIBYTE)
            s.shutdown(socket.SHUT_WR)
            ended(7004, s)
        def resets(s):
            s.recv(1)
            s.sendall(b'bytes before')
            reset(s)
        def reads(s):
            s.sendall(b'!')
            ended(7006, s)
        def echo(s):
            while data := s.recv(65536): s.sendall(data)
            s.close()
        def reads_when_told(s):
            s.sendall(b'!')
            s.shutdown(socket.SHUT_WR)
            eventually(lambda: os.path.exists('/run/go'), 30)
            ended(7008, s)
        def serve(port, behaviour):
            def run(s):
                # A connection's error is the client's to judge.
                try: behaviour(s)
                except OSError: pass
            listener = socket.create_server(('::', port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
            # What is not read shall wait at the client.
            if behaviour is reads_when_told: listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            def accept():
                while True: threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()
            threading.Thread(target=accept, daemon=True).start()
        for number, behaviour in enumerate(
            (closes, banner, answers_behind_the_end, ends_first, resets, reads, echo, reads_when_told)):
            serve(7001 + number, behaviour)
        say('serving')
        signal.pause()
        """#

    /// A verified conversation that goes on until a file appears.
    static let conversation = """
        s = connect(7002)
        exactly(s, 10)
        say('talking')
        rounds = 0
        while not os.path.exists('/run/stop'):
            pingpong(s, 20)
            rounds += 20
        say(rounds, 'verified')
        """

    /// A server that says how each of its connections ends.
    static let tellingServer = """
        def run(s):
            try:
                s.sendall(b'220 ready\\n')
                while data := s.recv(65536): s.sendall(data)
                say('ended EOF')
            except OSError as error:
                say('ended', name(error))
        listener = socket.create_server(('::', 7002), family=socket.AF_INET6, dualstack_ipv6=True)
        say('serving')
        while True: threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()
        """

    static let server = ["/usr/bin/python3", "-c", prelude + behaviours]

    /// Writes as much as connection and session take, leaves without waiting, and says with which status.
    static let hasty = """
        s = connect(7008)
        exactly(s, 1)
        s.sendall(MEBIBYTE)
        say('exits')
        sys.exit(7)
        """

    /// A client that runs a script.
    static func client(_ script: String, _ arguments: [String] = []) -> [String] {
        ["/usr/bin/python3", "-c", prelude + script] + arguments
    }
}

extension UnderTest {
    /// Starts the servers that ``Peers`` has on ports 7001 to 7008.
    func servePeers() throws -> LabProcess {
        let server = try server.start(Peers.server)
        try server.waitForOutput("serving")
        return server
    }

    /// What the server's kernel holds has been delivered: not all of ``Peers/hasty`` shall have room there, but in the replay buffer
    /// and the client's kernel. For connections that are made behind it.
    func boundServerBuffers() throws {
        try server.succeed([
            "sysctl", "-qw", "net.ipv4.tcp_rmem=4096 131072 262144", "net.ipv4.tcp_wmem=4096 131072 262144",
        ])
    }

    /// Runs a script on the client in this mode; every assertion in it must hold.
    func check(_ script: String, _ arguments: [String] = [], within limit: Duration = .seconds(30)) throws {
        let outcome = try client.run(prefix + Peers.client(script, arguments), within: limit)
        #expect(outcome.status == .success, "\(outcome.errors)\(outcome.output)")
    }
}
