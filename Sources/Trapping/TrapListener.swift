public import CLinux
public import Kernel
public import SystemPackage

/// Where the trapped calls of a program and its descendants arrive (seccomp_unotify(2)).
public struct TrapListener: ~Copyable {
    /// A call that waits for its answer.
    public struct Call: Sendable {
        let id: UInt64
        /// The thread that has made it; 0 if it is outside this process's PID namespace.
        public let thread: pid_t
        public let number: Int
        public let arguments: (UInt64, UInt64, UInt64)
    }

    public let descriptor: Descriptor

    public init(descriptor: consuming Descriptor) {
        // Caller and supervisor take turns, and are quicker so: SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP. Older kernels refuse it.
        let syncWakeUp: UInt64 = 1
        _ = usl_seccomp_set_flags(descriptor.number, syncWakeUp)
        self.descriptor = descriptor
    }

    /// Takes it from the keeper, when the program has its filter; nil if there is no program after all.
    ///
    /// - Parameter channel: see `Trap`.
    public static func receive(over channel: borrowing Descriptor) throws(Errno) -> TrapListener? {
        guard var received = try DescriptorPassing.receive(capacity: 1, over: channel.number) else { return nil }
        guard let descriptor = received.descriptor.take() else { return nil }
        return TrapListener(descriptor: descriptor)
    }

    /// The next call; nil if none waits.
    public borrowing func next() throws(Errno) -> Call? {
        while true {
            // The request would wait for the next call.
            var ready = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
            guard try retrying({ poll(&ready, 1, 0) }) == 1 else { return nil }
            // Nobody has the filter any more: an event of its own tells of it.
            if Int32(ready.revents) & (POLLIN | POLLHUP) == POLLHUP { return nil }
            if Int32(ready.revents) & POLLIN == 0 { throw .badFileDescriptor }
            var notification = seccomp_notif()
            do throws(Errno) {
                try check(usl_seccomp_receive(descriptor.number, &notification))
            } catch .noSuchFileOrDirectory {
                // The caller has been killed meanwhile.
                continue
            } catch .interrupted {
                continue
            }
            let data = notification.data
            return Call(
                id: notification.id, thread: pid_t(notification.pid), number: Int(data.nr),
                arguments: (data.args.0, data.args.1, data.args.2))
        }
    }

    /// Gives the caller a descriptor, whose number is what its call returns.
    ///
    /// - Throws: the error for the caller, if it has no room for another descriptor, say. `ENOENT`: it is gone.
    public borrowing func give(_ socket: borrowing Descriptor, closedOnExec: Bool, to call: Call) throws(Errno) {
        var answer = seccomp_notif_addfd()
        answer.id = call.id
        answer.flags = UInt32(SECCOMP_ADDFD_FLAG_SEND)
        answer.srcfd = UInt32(socket.number)
        answer.newfd_flags = closedOnExec ? UInt32(O_CLOEXEC) : 0
        let number = descriptor.number
        _ = try retrying { usl_seccomp_add_descriptor(number, &answer) }
    }

    /// Whether its caller still waits for the answer.
    borrowing func isWaiting(_ call: Call) -> Bool { usl_seccomp_id_valid(descriptor.number, call.id) == 0 }

    /// Makes the call return zero.
    public borrowing func succeed(_ call: Call) {
        var answer = seccomp_notif_resp(id: call.id, val: 0, error: 0, flags: 0)
        respond(&answer)
    }

    /// Makes the call fail.
    public borrowing func fail(_ call: Call, _ error: Errno) {
        var answer = seccomp_notif_resp(id: call.id, val: 0, error: -error.rawValue, flags: 0)
        respond(&answer)
    }

    /// Lets the call go on as if nobody had looked.
    public borrowing func pass(_ call: Call) {
        var answer = seccomp_notif_resp(
            id: call.id, val: 0, error: 0, flags: UInt32(SECCOMP_USER_NOTIF_FLAG_CONTINUE))
        respond(&answer)
    }

    private borrowing func respond(_ answer: inout seccomp_notif_resp) {
        let number = descriptor.number
        // A caller that has been killed needs none.
        _ = withUnsafeMutablePointer(to: &answer) { answer in try? retrying { usl_seccomp_respond(number, answer) } }
    }
}
