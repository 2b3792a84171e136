import NetworkLab
import Testing

extension EndToEnd {
    /// A gateway under a service manager that holds copies of its descriptors (sd_notify(3), sd_listen_fds(3)).
    @Suite struct ServiceManagerTests {
        /// As much of a service manager as a gateway sees: starts it, keeps what it stores, and when a file appears,
        /// kills its first process and starts it anew with what is in the store.
        private static let manager = #"""
            import array, os, signal, socket, sys, time
            path = '/run/notify'
            notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            notify.bind(path)
            notify.settimeout(0.1)
            store = {}
            def take(until):
                """Whether the service has said that it is ready."""
                while time.monotonic() < until:
                    try: data, rights, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(4))
                    except TimeoutError: continue
                    words = dict(line.split('=', 1) for line in data.decode().split('\n'))
                    if 'FDSTORE' in words:
                        assert words['FDPOLL'] == '0'
                        store[words['FDNAME']] = array.array('i', rights[0][2][:4])[0]
                    elif 'FDSTOREREMOVE' in words: os.close(store.pop(words['FDNAME']))
                    elif 'READY' in words: return True
            def start():
                pid = os.fork()
                if pid: return pid
                names = list(store)
                copies = [os.dup2(store[name], 500 + index) for index, name in enumerate(names)]
                for index, copy in enumerate(copies): os.dup2(copy, 3 + index)
                os.closerange(3 + len(names), 600)
                listen = dict(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=':'.join(names))
                os.execve(sys.argv[1], sys.argv[1:], dict(os.environ, NOTIFY_SOCKET=path, **listen))
            pid = start()
            assert take(time.monotonic() + 10)
            print('ready', flush=True)
            while True:
                take(time.monotonic() + 0.05)
                if not os.path.exists('/run/kill'): continue
                os.unlink('/run/kill')
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                pid = start()
                assert take(time.monotonic() + 10)
                print('again', len(store), flush=True)
            """#

        @Test func aGatewayThatIsKilledWholeGoesOn() throws {
            try UnderTest.withoutGateway { test in
                _ = try test.servePeers()
                let manager = try test.server.start(
                    ["/usr/bin/python3", "-c", Self.manager, try UnderTest.usl(), "gateway", "--plain"]
                        + ["--allow", "*:1-65535", "--state", "/run/state"])
                try manager.waitForOutput("ready")
                let client = try test.client.start(test.prefix(["-q"]) + Peers.client(Peers.conversation))
                try client.waitForOutput("talking")
                // Each waits until the one before is over: both its processes are gone, and the session goes on.
                for count in 1...2 {
                    try test.server.succeed(["touch", "/run/kill"])
                    try waitUntil("the gateway is there again", within: .seconds(20)) {
                        manager.standardOutput.split(separator: "\n").count == 1 + count
                    }
                    // Listeners, ledger, an arena or two, the leg.
                    #expect(manager.standardOutput.split(separator: " ").last.flatMap { Int($0.dropLast()) } ?? 0 >= 4)
                }
                try test.client.succeed(["touch", "/run/stop"])
                try client.waitForOutput("verified", within: .seconds(20))
                let status = try client.wait(.seconds(10))
                #expect(status == .success, "\(client.standardError)")
            }
        }
    }
}
