import CLinux
import Kernel
import SystemPackage
import Trapping

extension Donor {
    /// What this machine lacks for donated sockets, for people; nil if nothing. This process must have one thread only.
    public static func lack() -> String? {
        do throws(Errno) {
            let trap = try words(of: tryTrap)
            if !trap.isEmpty { return String(decoding: trap, as: UTF8.self) }
            // Without a program, it ends when it sees the end of the channel.
            let place = try words(of: { run($0, askingAt: "") })
            return place == [0] ? nil : String(decoding: place, as: UTF8.self)
        } catch {
            return "\(error)"
        }
    }

    private static func tryTrap(_ channel: consuming Descriptor) -> Never {
        do throws(Errno) {
            _ = try CallFilter.install(SocketTrap.donation)
        } catch {
            _ = try? DescriptorPassing.send(Array("install a seccomp filter: \(error)".utf8), over: channel.number)
        }
        _exit(0)
    }

    /// What a fork says first.
    private static func words(of body: (consuming Descriptor) -> Never) throws(Errno) -> [UInt8] {
        let ends = try SocketPair(nonBlocking: false)
        let pid = try check(usl_fork())
        if pid == 0 { body(ends.keepSecond()) }
        defer { waitpid(pid, nil, 0) }
        let channel = ends.keepFirst()
        return try DescriptorPassing.receive(capacity: 1024, over: channel.number)?.bytes ?? []
    }
}
