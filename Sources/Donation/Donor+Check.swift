import CLinux
import Kernel
import SystemPackage

extension Donor {
    /// What this machine lacks for donated sockets, for people; nil if nothing. This process must have one thread only.
    public static func lack() -> String? {
        do throws(Errno) {
            let ends = try SocketPair(nonBlocking: false)
            let pid = try check(usl_fork())
            if pid == 0 {
                let channel = ends.keepSecond()
                do throws(Errno) {
                    _ = try SocketTrap.install(SocketTrap.donation)
                } catch {
                    _ = try? DescriptorPassing.send(
                        Array("install a seccomp filter: \(error)".utf8), over: channel.number)
                    _exit(1)
                }
                _exit(0)
            }
            defer { waitpid(pid, nil, 0) }
            let channel = ends.keepFirst()
            let text = try DescriptorPassing.receive(capacity: 1024, over: channel.number)?.bytes ?? []
            if !text.isEmpty { return String(decoding: text, as: UTF8.self) }
            return try lackOfPlace()
        } catch {
            return "\(error)"
        }
    }

    private static func lackOfPlace() throws(Errno) -> String? {
        let ends = try SocketPair(nonBlocking: false)
        let pid = try check(usl_fork())
        if pid == 0 { run(ends.keepSecond(), askingAt: "") }
        // Without a program, it ends when it sees the end of the channel.
        defer { waitpid(pid, nil, 0) }
        let channel = ends.keepFirst()
        let answer = try DescriptorPassing.receive(capacity: 1024, over: channel.number)?.bytes ?? []
        return answer == [0] ? nil : String(decoding: answer, as: UTF8.self)
    }
}
