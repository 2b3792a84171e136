import CLinux
import Kernel
import SystemPackage

/// The keeper's side of one worker process: its number and the channel to it.
struct Worker: ~Copyable {
    let pid: pid_t
    private static let endingMilliseconds: Int32 = 5000

    private let channel: Descriptor

    /// Forks the worker, which runs `body` in a copy of this process and never comes back. The process must have one
    /// thread only, as the copy has no other (fork(2)).
    static func fork(_ body: (consuming EscrowChannel) -> Never) throws(Errno) -> Worker {
        let ends = try SocketPair(nonBlocking: true)
        let pid = try check(usl_fork())
        if pid == 0 {
            let channel = ends.keepSecond().release()
            // Nothing returns from here, so the closure outlives whoever calls it.
            withoutActuallyEscaping(body) { body in
                ForkedProcess.continueOnNewThread { body(EscrowChannel(owning: Descriptor(owning: channel))) }
            }
        }
        return Worker(pid: pid, channel: ends.keepFirst())
    }

    private init(pid: pid_t, channel: consuming Descriptor) {
        self.pid = pid
        self.channel = channel
    }

    /// Readable when the worker says something or has died.
    var channelNumber: Int32 { channel.number }

    /// Sends a message. A worker that does not read, or has died, does not get it: its end shows by itself.
    func send(_ message: KeeperMessage) {
        _ = try? DescriptorPassing.send([message.rawValue], over: channel.number)
    }

    /// Takes what the worker says: descriptors into escrow and out of it, and a wish for a replacement; the rest is
    /// returned. nil: nothing more waits.
    func nextReport(into escrow: inout Escrow, _ replacement: inout Replacement?) -> WorkerReport? {
        while true {
            do {
                let capacity = WorkerMessage.maximumSize
                guard var received = try DescriptorPassing.receive(capacity: capacity, over: channel.number) else {
                    return nil
                }
                switch WorkerMessage(received.bytes) {
                case .hold(let key, let kind):
                    // Without one, this process is out of descriptors (recvmsg(2), MSG_CTRUNC): that leg does not
                    // survive its worker, which is no reason to refuse it.
                    if let descriptor = received.descriptor.take() { escrow.hold(key, kind, descriptor) }
                case .release(let key): escrow.release(key)
                case .replace:
                    if let file = received.descriptor.take() { replacement = Replacement(reading: file) }
                case .report(let report): return report
                case nil: continue
                }
            } catch {
                return nil
            }
        }
    }

    /// Kills the worker, and waits until it is gone: it takes nothing with it.
    borrowing func kill() {
        CLinux.kill(pid, SIGKILL)
        _ = try? retrying { waitpid(pid, nil, 0) }
    }

    /// Asks the worker to end and waits for that, though not for ever.
    consuming func end() {
        send(.end)
        guard let pidfd = try? Descriptor(owning: check(usl_pidfd_open(pid))) else { return }
        var entry = pollfd(fd: pidfd.number, events: Int16(POLLIN), revents: 0)
        if (try? retrying { poll(&entry, 1, Self.endingMilliseconds) }) == 0 { CLinux.kill(pid, SIGKILL) }
        waitpid(pid, nil, 0)
    }
}
