import CLinux
public import SystemPackage

extension ChildProcess {
    /// Why a program was not started.
    public enum StartFailure: Error {
        case system(Errno)
        case preparation(Errno)
        /// What execvp(3) reports.
        case execution(Errno)
    }

    private enum Stage: UInt8 {
        case preparing
        case executing
    }

    /// Starts a program as `spawn` does, after something that its process has to do for itself (fork(2), execvp(3)). This process
    /// must have one thread only.
    ///
    /// - Parameters:
    ///   - group: an existing process group of the same session.
    ///   - prepare: called in the child.
    public static func fork(
        _ arguments: [[UInt8]], joining group: pid_t, signalMask: SignalSet, prepare: () throws(Errno) -> Void
    ) throws(StartFailure) -> ChildProcess {
        let failure: (stage: Stage, code: Errno)
        do throws(Errno) {
            let ends = try SocketPair(nonBlocking: false)
            let pid = try check(usl_fork())
            if pid == 0 { become(arguments, joining: group, signalMask, over: ends.keepSecond(), prepare) }
            let channel = ends.keepFirst()
            let child = ChildProcess(adopting: pid, pidfd: Descriptor(owning: try check(usl_pidfd_open(pid))))
            // It ends without a word when exec closes the other end.
            guard let news = try DescriptorPassing.receive(capacity: 2, over: channel.number)?.bytes else {
                return child
            }
            try child.wait()
            failure = (news.first.flatMap(Stage.init) ?? .executing, Errno(rawValue: Int32(news.last ?? 0)))
        } catch {
            throw .system(error)
        }
        switch failure.stage {
        case .preparing: throw .preparation(failure.code)
        case .executing: throw .execution(failure.code)
        }
    }

    private static func become(
        _ arguments: [[UInt8]], joining group: pid_t, _ signalMask: SignalSet, over channel: consuming Descriptor,
        _ prepare: () throws(Errno) -> Void
    ) -> Never {
        var stage = Stage.preparing
        let failure: Errno
        do throws(Errno) {
            try check(setpgid(0, group))
            try prepare()
            stage = .executing
            signalMask.setAsMask()
            failure = executeInPath(arguments)
        } catch {
            failure = error
        }
        let news = [stage.rawValue, UInt8(truncatingIfNeeded: failure.rawValue)]
        _ = try? DescriptorPassing.send(news, over: channel.number)
        _exit(127)
    }
}
