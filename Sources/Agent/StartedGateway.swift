import CLinux
import Engine
import Interception
import Keeper
import Kernel
import SystemPackage

/// A gateway that this agent has started for what its programs serve. It is a process group of its own with a keeper of its own, has
/// nothing of the user's terminal, and ends by itself: this agent may end before it, or it before this agent.
final class StartedGateway {
    private let child: ChildProcess
    /// What it says until it serves.
    private let words: Descriptor
    private let loop: EventLoop
    private var registration: Registration?
    private var failed: ((_ reason: String) -> Void)?

    /// Whether nothing is known of it yet.
    var isStarting: Bool { failed != nil }

    /// - Parameter failed: called once if it ends before ``serves()``, with what it has said.
    init(
        serving channel: borrowing OfferChannel, _ options: AgentOptions, on loop: EventLoop,
        failed: @escaping (_ reason: String) -> Void
    ) throws(Errno) {
        words = Descriptor(owning: try check(usl_memfd_create("usl-words", UInt32(MFD_CLOEXEC))))
        let null = Descriptor(owning: try check(usl_open("/dev/null", O_RDWR | O_CLOEXEC, 0)))
        var attributes = ChildProcess.Attributes()
        attributes.processGroup = .own
        attributes.descriptors = [
            (null.number, STDIN_FILENO), (null.number, STDOUT_FILENO), (words.number, STDERR_FILENO),
            (channel.descriptor.number, OfferChannel.inheritedNumber),
        ]
        attributes.environment = Self.environment
        var arguments = ["/proc/self/exe", "gateway", "--offers", "--state", options.state.path]
        if options.isPlain { arguments.append("--plain") }
        child = try ChildProcess.spawn(arguments.map { Array($0.utf8) }, attributes)
        self.loop = loop
        self.failed = failed
        registration = try loop.register(child.pidfd.number, self)
    }

    /// It has taken an offer.
    func serves() { failed = nil }

    /// This process's, without what makes programs ask an agent: one whose predecessor has died has that.
    private static var environment: [String] {
        var variables: [String] = []
        var entry = usl_environ()
        while let text = entry?.pointee {
            let variable = String(cString: text)
            if !variable.hasPrefix("USL_AGENT=") { variables.append(variable) }
            entry = entry?.advanced(by: 1)
        }
        return variables
    }

    /// The last line that it has said, without the name of who says it.
    private var lastWords: String {
        let bytes = [UInt8](unsafeUninitializedCapacity: 1024) { room, count in
            count = max(0, pread(words.number, room.baseAddress, room.count, 0))
        }
        let line = bytes.split(separator: UInt8(ascii: "\n")).last.map { String(decoding: $0, as: UTF8.self) } ?? ""
        return line.hasPrefix("usl: ") ? String(line.dropFirst(5)) : line
    }
}

extension StartedGateway: EventHandler {
    func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard let registration else { return }
        loop.deregister(registration)
        self.registration = nil
        let end = try? child.wait()
        let reason = lastWords
        failed?(reason.isEmpty ? "it has ended (\(end.map { "\($0)" } ?? "unknown"))" : reason)
        failed = nil
    }
}
