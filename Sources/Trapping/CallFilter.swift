public import CLinux
public import Kernel
public import SystemPackage

/// A seccomp filter over the system calls of a program and all its descendants (seccomp(2)).
public enum CallFilter {
    /// Installs the filter in this thread, which has the process to itself and is about to become the program.
    ///
    /// - Returns: where its trapped calls arrive. It is closed on exec.
    /// - Throws: `EBUSY` where another supervisor is in charge of this program already; only one may be (seccomp(2)).
    public static func install(_ filter: [sock_filter]) throws(Errno) -> Descriptor {
        // Without privilege, no program may be misled that has more (seccomp(2), SECCOMP_SET_MODE_FILTER). It applies to all
        // users here: what a setuid program does with sockets that are not its own, nobody has promised.
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
}

/// The instructions that filters are made of (in the kernel, Documentation/networking/filter.rst).
extension sock_filter {
    /// Has the supervisor asked.
    public static var ask: sock_filter { returning(SECCOMP_RET_USER_NOTIF) }
    /// Lets the call go on.
    public static var pass: sock_filter { returning(SECCOMP_RET_ALLOW) }
    /// Makes the call fail with this errno.
    public static func fail(_ code: Int32) -> sock_filter { returning(SECCOMP_RET_ERRNO | UInt32(code)) }

    /// Loads the lower half of an argument of the call: those of type int are no longer.
    public static func argument(_ index: Int) -> sock_filter {
        load(MemoryLayout<seccomp_data>.offset(of: \.args)! + index * MemoryLayout<UInt64>.size)
    }

    private static func returning(_ action: some BinaryInteger) -> sock_filter {
        sock_filter(code: UInt16(BPF_RET | BPF_K), jt: 0, jf: 0, k: UInt32(truncatingIfNeeded: action))
    }

    /// Loads which architecture's call it is.
    public static var architecture: sock_filter { load(MemoryLayout<seccomp_data>.offset(of: \.arch)!) }
    /// Loads the number of the call.
    public static var number: sock_filter { load(MemoryLayout<seccomp_data>.offset(of: \.nr)!) }

    private static func load(_ offset: Int) -> sock_filter {
        sock_filter(code: UInt16(BPF_LD | BPF_W | BPF_ABS), jt: 0, jf: 0, k: UInt32(offset))
    }

    /// Keeps these bits of what was loaded.
    public static func and(_ bits: UInt32) -> sock_filter {
        sock_filter(code: UInt16(BPF_ALU | BPF_AND | BPF_K), jt: 0, jf: 0, k: bits)
    }

    /// - Parameters:
    ///   - yes: how many instructions to skip if it is equal.
    ///   - no: how many else.
    public static func jump(ifEqual value: UInt32, _ yes: UInt8, _ no: UInt8) -> sock_filter {
        sock_filter(code: UInt16(BPF_JMP | BPF_JEQ | BPF_K), jt: yes, jf: no, k: value)
    }
}
