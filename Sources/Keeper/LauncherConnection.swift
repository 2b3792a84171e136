import CLinux
import Kernel
import SystemPackage

/// The keeper's side of the launcher. Its socket does not block: a launcher that is stopped reads nothing, and the keeper
/// has others to look after.
struct LauncherConnection: ~Copyable {
    let descriptor: Descriptor
    let pidfd: Descriptor
    /// Messages that did not fit into the socket.
    private var queue: [LauncherMessage] = []

    init(descriptor: consuming Descriptor, pidfd: consuming Descriptor) {
        self.descriptor = descriptor
        self.pidfd = pidfd
    }

    var isBehind: Bool { !queue.isEmpty }

    mutating func send(_ message: LauncherMessage) {
        // Of the progress that waits, only the latest is of interest.
        if case .draining = message, case .draining? = queue.last { queue.removeLast() }
        queue.append(message)
        flush()
    }

    /// Sends what has waited for room.
    mutating func flush() {
        while let message = queue.first {
            do {
                try DescriptorPassing.send(message.encoded(), over: descriptor.number)
            } catch .wouldBlock {
                return
            } catch {
                // The launcher has died, which shows as end of file.
            }
            queue.removeFirst()
        }
    }

    enum Incoming {
        case nothing
        case request(LauncherRequest)
        /// The launcher has gone.
        case end
    }

    /// What the launcher has said.
    borrowing func receive() -> Incoming {
        do {
            let received = try DescriptorPassing.receive(capacity: 16, over: descriptor.number)
            guard let received else { return .end }
            return LauncherRequest(received.bytes).map(Incoming.request) ?? .nothing
        } catch .wouldBlock {
            return .nothing
        } catch {
            return .end
        }
    }

    /// Continues the launcher, if it is stopped.
    borrowing func wake() { _ = usl_pidfd_send_signal(pidfd.number, SIGCONT) }
}
