import CLinux
public import Kernel
public import SystemPackage

/// What stands between a program and the kernel in place of a preload library: a filter in the program's processes, and a
/// supervisor, a process beside it, that answers the calls that the filter stops.
public struct Trap: Sendable {
    /// Installs the filter in the calling thread, and gives where its calls arrive.
    public typealias Installation = @Sendable () throws(Errno) -> Descriptor

    /// Becomes the supervisor, in a fork that has one thread. Over the channel it says one message when it is ready, a zero, or
    /// else what is missing; gets the listener of the filter, and is a `SupervisorChannel` from then on. It ends by itself when
    /// nobody is left under the filter.
    public typealias Supervision = @Sendable (_ channel: consuming Descriptor, _ controlPath: String) -> Never

    /// Tells the program's descendants which trap they are under, by what `--intercept` calls it: a program can have one only.
    public static let variable = "USL_TRAPPED"

    /// What the supervisor is called, by ps(1).
    let name: StaticString
    let install: Installation
    let supervise: Supervision

    public init(name: StaticString, install: @escaping Installation, supervise: @escaping Supervision) {
        self.name = name
        self.install = install
        self.supervise = supervise
    }

    /// What the supervisor lacks, for people.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Its longest message.
    private static let textLimit = 1024

    /// Starts the supervisor, and waits until it is ready. This process must have one thread only.
    ///
    /// - Returns: the channel that the listener goes over.
    func startSupervisor(askingAt controlPath: String) throws(Failure) -> Descriptor {
        let lack: String
        do throws(Errno) {
            let channel = try forkSupervisor(askingAt: controlPath)
            let answer = try DescriptorPassing.receive(capacity: Self.textLimit, over: channel.number)?.bytes ?? []
            if answer == [0] { return channel }
            lack = answer.isEmpty ? "its supervisor has died" : String(decoding: answer, as: UTF8.self)
        } catch {
            lack = "\(error)"
        }
        throw Failure(description: lack)
    }

    private func forkSupervisor(askingAt controlPath: String) throws(Errno) -> Descriptor {
        let ends = try SocketPair(nonBlocking: false)
        if try check(usl_fork()) == 0 {
            let channel = ends.keepSecond()
            InheritedDescriptors.closeAll(except: [channel.number])
            ProcessName.set(name)
            _ = chdir("/")
            supervise(channel, controlPath)
        }
        return ends.keepFirst()
    }
}
