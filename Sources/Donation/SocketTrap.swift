import CLinux
public import Kernel
public import SystemPackage

/// The seccomp filter of a program that gets donated sockets, and of all its descendants (seccomp(2)).
///
/// It decides on numbers that the kernel hands over by value: family, type and protocol of socket(2). Nothing is read from the
/// program's memory, so that nothing can change between the look and the call.
public enum SocketTrap {
    /// Installs the filter in this thread, which has the process to itself and is about to become the program.
    ///
    /// - Returns: where its trapped calls arrive. It is closed on exec.
    /// - Throws: `EBUSY` where another supervisor is in charge of this program already; only one may be (seccomp(2)).
    public static func install(_ filter: [sock_filter]) throws(Errno) -> Descriptor {
        // Without privilege, no program may be misled that has more (seccomp(2), SECCOMP_SET_MODE_FILTER). It applies to all
        // users here: what a setuid program does with sockets of another namespace, nobody has promised.
        try check(usl_prctl(PR_SET_NO_NEW_PRIVS, 1))
        var filter = filter
        do throws(Errno) {
            // Signals that are handled do not end a call that the supervisor has seen.
            return try set(&filter, UInt32(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV))
        } catch .invalidArgument {
            // Before Linux 5.19 they do, and the call is made again (SA_RESTART) or fails with EINTR.
            return try set(&filter, 0)
        }
    }

    private static func set(_ filter: inout [sock_filter], _ flags: UInt32) throws(Errno) -> Descriptor {
        let number = filter.withUnsafeMutableBufferPointer { instructions in
            var program = sock_fprog(len: UInt16(instructions.count), filter: instructions.baseAddress)
            return withUnsafeMutablePointer(to: &program) {
                usl_seccomp(
                    UInt32(SECCOMP_SET_MODE_FILTER), UInt32(SECCOMP_FILTER_FLAG_NEW_LISTENER) | flags, $0)
            }
        }
        return Descriptor(owning: try check(number))
    }

    /// Traps socket(2) for TCP over IPv4 and IPv6, and listen(2). io_uring, which makes sockets past every filter, is not there.
    public static var donation: [sock_filter] {
        let (ask, pass) = (returning(SECCOMP_RET_USER_NOTIF), returning(SECCOMP_RET_ALLOW))
        let noRing = returning(SECCOMP_RET_ERRNO | UInt32(ENOSYS))
        return [
            load(MemoryLayout<seccomp_data>.offset(of: \.arch)!),
            jump(ifEqual: UInt32(USL_AUDIT_ARCH), 1, 0),
            pass,
            load(MemoryLayout<seccomp_data>.offset(of: \.nr)!),
            jump(ifEqual: UInt32(SYS_socket), 5, 0),
            jump(ifEqual: UInt32(SYS_listen), 2, 0),
            jump(ifEqual: UInt32(SYS_io_uring_setup), 2, 0),
            pass,
            ask,
            noRing,
            load(argument(0)),
            jump(ifEqual: UInt32(AF_INET), 1, 0),
            jump(ifEqual: UInt32(AF_INET6), 0, 7),
            load(argument(1)),
            // SOCK_TYPE_MASK of the kernel: the rest are flags.
            sock_filter(code: UInt16(BPF_ALU | BPF_AND | BPF_K), jt: 0, jf: 0, k: 0xf),
            jump(ifEqual: UInt32(SOCK_STREAM.rawValue), 0, 4),
            load(argument(2)),
            jump(ifEqual: 0, 3, 0),
            jump(ifEqual: UInt32(IPPROTO_TCP), 2, 0),
            jump(ifEqual: UInt32(IPPROTO_MPTCP), 1, 0),
            pass,
            ask,
        ]
    }

    private static func argument(_ index: Int) -> Int {
        MemoryLayout<seccomp_data>.offset(of: \.args)! + index * MemoryLayout<UInt64>.size
    }

    private static func returning(_ action: some BinaryInteger) -> sock_filter {
        sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: UInt32(truncatingIfNeeded: action))
    }

    /// Loads the lower half of a field: arguments of socket(2) are of type int.
    private static func load(_ offset: Int) -> sock_filter {
        sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: UInt32(offset))
    }

    /// - Parameters:
    ///   - yes: how many instructions to skip if it is equal.
    ///   - no: how many else.
    private static func jump(ifEqual value: UInt32, _ yes: UInt8, _ no: UInt8) -> sock_filter {
        sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: yes, jf: no, k: value)
    }
}
