public import CLinux
public import SystemPackage

/// Starts a thread. It blocks all signals, so that they reach whoever waits for them, except those that report a fault of the
/// thread itself.
///
/// - Parameters:
///   - name: as debuggers and top(1) show it; cut to 15 bytes (pthread_setname_np(3)).
///   - body: what it runs. Whatever is not `Sendable` there is the thread's alone from now on.
/// - Returns: to be joined or detached (pthread_create(3)).
public func startThread(name: String, _ body: @escaping () -> Void) throws(Errno) -> pthread_t {
    let previous = SignalSet.blocked
    var mask = SignalSet.all
    for signal in [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT] { mask.remove(signal) }
    mask.setAsMask()
    defer { previous.setAsMask() }

    var thread = pthread_t()
    let context = Unmanaged.passRetained(ThreadBody(name: name, body: body))
    let status = pthread_create(
        &thread, nil,
        { context in
            Unmanaged<ThreadBody>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context.toOpaque())
    guard status == 0 else {
        context.release()
        throw Errno(rawValue: status)
    }
    return thread
}

/// What a new thread takes over from the one that made it.
private final class ThreadBody {
    private let name: String
    private let body: () -> Void

    init(name: String, body: @escaping () -> Void) {
        self.name = name
        self.body = body
    }

    func run() {
        pthread_setname_np(pthread_self(), String(decoding: name.utf8.prefix(15), as: UTF8.self))
        body()
    }
}
