import CLinux
import Kernel
import Testing

/// Programs run by the real command: all must be as if it were not there.
@Suite("Programs under usl", .serialized)
struct ProcessTreeTests {
    let installation: Installation

    init() throws { installation = try Installation() }

    private func bare(_ script: String, input: String = "") throws -> Installation.Outcome {
        try installation.run(["sh", "-c", script], input: input)
    }

    private func under(_ script: String, input: String = "") throws -> Installation.Outcome {
        try installation.run([installation.usl, "sh", "-c", script], input: input)
    }

    @Test(
        "end, output and descriptors are the program's own",
        arguments: [
            "exit 0", "exit 7", "exit 255", "echo out; echo err >&2", "cat", "cat >&2", "kill -TERM $$",
            "kill -KILL $$",
            "kill -SEGV $$", "kill -PIPE $$", "ls /proc/self/fd", "pwd", "ulimit -n; ulimit -c", "umask",
            "grep -E '^Sig(Blk|Ign)' /proc/self/status", "exec <&-; ls /proc/self/fd", "set -- a '' 'b c'; echo $#",
        ])
    func isTransparent(script: String) throws {
        #expect(try under(script, input: "input\n") == bare(script, input: "input\n"))
    }

    @Test("inherited descriptors are passed on, and closed ones stay closed")
    func inherits() throws {
        let script = "exec 7</dev/null 5>&1 <&-; exec \"$@\" ls /proc/self/fd"
        let bare = try installation.run(["sh", "-c", script, "sh"])
        let under = try installation.run(["sh", "-c", script, "sh", installation.usl])
        #expect(under == bare)
        #expect(bare.output.contains("7\n"))
    }

    @Test("signals that are ignored stay ignored")
    func ignores() throws {
        let script = "trap '' INT HUP; exec \"$@\" grep SigIgn /proc/self/status"
        let bare = try installation.run(["sh", "-c", script, "sh"])
        #expect(try installation.run(["sh", "-c", script, "sh", installation.usl]) == bare)
    }

    @Test("arguments that are not UTF-8 arrive")
    func bytes() throws {
        let script = "exec \"$@\" printf %s $(printf 'a\\377b')"
        let hex = ["sh", "-c", "(\(script)) | od -An -tx1", "sh"]
        #expect(try installation.run(hex + [installation.usl]) == installation.run(hex))
    }

    @Test(
        "what cannot be run is told as shells do",
        arguments: [
            ("usl-no-such-program", UInt8(127)), ("/no/such/program", 127), ("/etc/passwd", 126), ("/", 126),
            ("/etc/passwd/x", 126),
        ])
    func cannotRun(program: String, status: UInt8) throws {
        let outcome = try installation.run([installation.usl, program])
        #expect(outcome.status == .exited(status) && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("usl: cannot run '\(program)': "))
        #expect(outcome.errors.split(separator: "\n").count == 1)
        eventually { installation.keepers().isEmpty }
    }

    @Test("a file without an interpreter line is a shell script")
    func script() throws {
        let file = installation.directory + "/script"
        _ = try bare("echo 'echo \"$1\"; exit 6' > \(file); chmod 700 \(file)")
        let outcome = try installation.run([installation.usl, file, "argument"])
        #expect(outcome == .init(status: .exited(6), output: "argument\n", errors: ""))
    }

    @Test(
        "wrong usage is 125 and names what is wrong",
        arguments: [
            (["--foo", "ls"], "--foo"), ([], "command"), (["--gateway", "no such host", "ls"], "no such host"),
            (["--pin", "x", "ls"], "'x'"), (["--treatment", "x", "ls"], "--treatment"),
            (["--suspend", "x", "ls"], "'x'"), (["gateway"], "--allow"),
            (["gateway", "--plain", "--allow", "x"], "--allow x"),
            (["gateway", "--plain", "--allow", "*:22", "--authorized", "/dev/null"], "--authorized"),
            (["gateway", "--allow", "*:22", "--authorized", "/nonexistent"], "/nonexistent"),
            (["-q", "-v", "ls"], "-q"),
            (["forward", "x", "y:1"], "listen"),
            (["--plain", "status"], "--plain"), (["status", "x"], "x"),
        ])
    func wrongUsage(words: [String], culprit: String) throws {
        let outcome = try installation.run([installation.usl] + words)
        #expect(outcome.status == .exited(125) && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("usl: ") && outcome.errors.contains(culprit), "\(outcome.errors)")
    }

    @Test("usl under usl")
    func nested() throws {
        let outcome = try installation.run([installation.usl, installation.usl, "sh", "-c", "echo hello; exit 3"])
        #expect(outcome == .init(status: .exited(3), output: "hello\n", errors: ""))
    }

    @Test("a program that closes its output is seen to")
    func closesOutput() throws {
        var running = try installation.start([installation.usl, "sh", "-c", "echo out; exec >&-; read line; exit 4"])
        #expect(try running.output.readToEnd() == "out\n")
        #expect(try running.child.wait(milliseconds: 0) == nil)
        running.input = nil
        #expect(try running.child.wait() == .exited(4))
    }

    @Test("nothing of USL is left after the program")
    func leavesNothing() throws {
        #expect(try under("exit 0").status == .success)
        eventually { installation.keepers().isEmpty }
    }

    // MARK: Signals

    @Test("a signal to usl is the program's", arguments: [SIGTERM, SIGINT, SIGHUP, SIGUSR1])
    func forwards(signal: Int32) throws {
        let script = "trap 'exit 42' TERM INT HUP USR1; echo ready; while :; do sleep 0.01; done"
        let running = try installation.start([installation.usl, "sh", "-c", script])
        #expect(try running.output.readLine() == "ready\n")
        try running.child.send(signal: signal)
        #expect(try running.child.wait() == .exited(42))
    }

    @Test("a signal that kills the program kills usl")
    func diesBySignal() throws {
        let running = try installation.start([installation.usl, "sh", "-c", "echo ready; exec sleep 100"])
        #expect(try running.output.readLine() == "ready\n")
        try running.child.send(signal: SIGTERM)
        #expect(try running.child.wait() == .signaled(SIGTERM))
    }

    @Test("usl stops with the program, and continues it")
    func stops() throws {
        for signal in ["STOP", "TSTP"] {
            let running = try installation.start([
                installation.usl, "sh", "-c", "kill -\(signal) $$; echo again; exit 5",
            ])
            var information = siginfo_t()
            try retrying { waitid(P_PID, id_t(running.child.pid), &information, WSTOPPED) }
            #expect(information.si_code == CLD_STOPPED)
            try running.child.send(signal: SIGCONT)
            #expect(try running.output.readToEnd() == "again\n")
            #expect(try running.child.wait() == .exited(5))
        }
    }

    @Test("a program that someone else continues continues usl")
    func continues() throws {
        let running = try installation.start(
            [installation.usl, "sh", "-c", "echo $$; kill -STOP $$; echo again; exit 5"])
        let program = try #require(pid_t(try running.output.readLine().dropLast()))
        var information = siginfo_t()
        try retrying { waitid(P_PID, id_t(running.child.pid), &information, WSTOPPED) }
        kill(program, SIGCONT)
        #expect(try running.child.wait() == .exited(5))
    }

    @Test("keys on a terminal: suspend, foreground, interrupt")
    func terminal() throws {
        let driver = #"""
            import os, pty, re, select, sys, time
            command = sys.argv[1] + ' ' + sys.argv[2]
            pid, terminal = pty.fork()
            if pid == 0: os.execvp('bash', ['bash', '--norc', '--noprofile', '-i'])
            seen = b''
            def expect(pattern):
                global seen
                deadline = time.monotonic() + 5
                while not (found := re.search(pattern.encode(), seen)):
                    ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
                    if not ready: sys.exit('no %r in %r' % (pattern, seen))
                    seen += os.read(terminal, 4096)
                seen = seen[found.end():]
            def type(text): os.write(terminal, text.encode())
            type("PS1='prompt''> '; stty -echo\n"); expect('prompt> ')
            type(command + "\n"); expect('ready')
            type('\x1a'); expect('Stopped'); expect('prompt> ')
            type('fg\n'); expect('continued')
            type('\x03'); expect('prompt> ')
            type("echo status''=$?\n"); expect('status=130'); expect('prompt> ')
            type(sys.argv[1] + " sh -c 'read line; echo got''=$line; tty; stty size'\n"); type('words\n')
            expect('got=words'); expect('/dev/pts/[0-9]+'); expect('[0-9]+ [0-9]+'); expect('prompt> ')
            type(command + " &\n"); expect('ready')
            type("kill %1; wait %1; echo status''=$?\n"); expect('status=143')
            type('exit\n')
            os.waitpid(pid, 0)
            print('all seen')
            """#
        // A shell that runs a command cannot be stopped while it waits in vfork(2); this is a program that always can.
        let pauser = """
            import signal, sys
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGCONT, lambda *_: print('continued', flush=True))
            print('ready', flush=True)
            while True: signal.pause()
            """
        let file = installation.directory + "/pauser.py"
        _ = try installation.run(["sh", "-c", "cat > \(file)"], input: pauser)
        for prefix in ["env", installation.usl] {
            let outcome = try installation.run(["python3", "-c", driver, prefix, "python3 \(file)"])
            #expect(outcome == .init(status: .success, output: "all seen\n", errors: ""), "\(prefix)")
        }
    }

    // MARK: The tree

    @Test("what a program leaves running keeps its keeper, and usl does not wait for it")
    func leavesDaemon() throws {
        let mark = installation.directory + "/mark"
        // The daemon waits for the fifo, so that the test decides how long it lives.
        let script = """
            mkfifo \(mark)
            (setsid sh -c 'read line < \(mark); cut -d" " -f4 /proc/$$/stat > \(mark).parent' > /dev/null 2>&1 &)
            exit 4
            """
        #expect(try under(script) == .init(status: .exited(4), output: "", errors: ""))
        let keepers = installation.keepers()
        #expect(keepers.count == 1)
        _ = try bare("echo > \(mark)")
        eventually { installation.keepers().isEmpty }
        let parent = try bare("cat \(mark).parent").output.dropLast()
        #expect(pid_t(parent) == keepers.first)
    }

    @Test("an agent that dies takes neither program nor keeper with it")
    func agentDies() throws {
        var running = try installation.start([installation.usl, "sh", "-c", "echo ready; read line; exit 9"])
        #expect(try running.output.readLine() == "ready\n")
        let keeper = try #require(installation.keepers().first)
        let agent = try #require(children(of: keeper).first { name(of: $0) == "usl-agent" })
        kill(agent, SIGKILL)
        #expect(try running.errors.readLine().hasPrefix("usl: the agent was killed by signal 9"))
        running.input = nil
        #expect(try running.child.wait() == .exited(9))
        eventually { installation.keepers().isEmpty }
    }

    @Test("a launcher that is killed leaves the program and the agent alone")
    func launcherDies() throws {
        let mark = installation.directory + "/mark"
        let script = "mkfifo \(mark); echo ready; read line < \(mark); echo > \(mark).done"
        let running = try installation.start([installation.usl, "sh", "-c", script])
        #expect(try running.output.readLine() == "ready\n")
        try running.child.send(signal: SIGKILL)
        #expect(try running.child.wait() == .signaled(SIGKILL))
        #expect(installation.keepers().count == 1)
        _ = try bare("echo > \(mark)")
        eventually { access("\(mark).done", F_OK) == 0 }
        eventually { installation.keepers().isEmpty }
    }

    private func children(of pid: pid_t) -> [pid_t] {
        let outcome = try? bare("cat /proc/\(pid)/task/\(pid)/children")
        return outcome.map { $0.output.split(separator: " ").compactMap { pid_t($0) } } ?? []
    }

    private func name(of pid: pid_t) -> String {
        (try? bare("cat /proc/\(pid)/comm").output.dropLast()).map(String.init) ?? ""
    }
}
