import CLinux
public import Kernel
public import SystemPackage

/// Tries in a fork what would change this process. It must have one thread only.
public enum ForkedTrial {
    /// What is missing, for people; nil if nothing.
    ///
    /// - Parameter body: sends one message over its channel: a zero if all is well, else what is missing.
    public static func lack(_ body: (consuming Descriptor) -> Never) throws(Errno) -> String? {
        let ends = try SocketPair(nonBlocking: false)
        let pid = try check(usl_fork())
        if pid == 0 { body(ends.keepSecond()) }
        defer { waitpid(pid, nil, 0) }
        let channel = ends.keepFirst()
        let words = try DescriptorPassing.receive(capacity: 1024, over: channel.number)?.bytes ?? []
        return words == [0] ? nil : words.isEmpty ? "try it: the trial died" : String(decoding: words, as: UTF8.self)
    }
}

extension CallFilter {
    /// Tries to install a filter whose calls another process answers.
    public static func tryInstalling(_ channel: consuming Descriptor) -> Never {
        do throws(Errno) {
            _ = try install([.pass])
            _ = try? DescriptorPassing.send([0], over: channel.number)
        } catch {
            _ = try? DescriptorPassing.send(Array("install a seccomp filter: \(error)".utf8), over: channel.number)
        }
        _exit(0)
    }
}

extension ConnectSupervisor {
    /// What this machine lacks for `seccomp`, for people; nil if nothing. This process must have one thread only.
    public static func lack() -> String? {
        do throws(Errno) {
            if let lack = try ForkedTrial.lack(tryLooking) { return lack }
            return try ForkedTrial.lack(CallFilter.tryInstalling)
        } catch {
            return "\(error)"
        }
    }

    /// Tries to look into a child, as the keeper does.
    private static func tryLooking(_ channel: consuming Descriptor) -> Never {
        var words: [UInt8] = [0]
        do throws(Errno) {
            let child = try check(usl_fork())
            if child == 0 { while true { pause() } }
            defer {
                kill(child, SIGKILL)
                waitpid(child, nil, 0)
            }
            let pidfd = Descriptor(owning: try check(usl_pidfd_open(child)))
            _ = Descriptor(owning: try check(usl_pidfd_getfd(pidfd.number, channel.number)))
        } catch {
            words = Array("look into a child process (pidfd_getfd, kernel.yama.ptrace_scope): \(error)".utf8)
        }
        _ = try? DescriptorPassing.send(words, over: channel.number)
        _exit(0)
    }
}
