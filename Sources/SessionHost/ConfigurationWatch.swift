import CLinux
public import Engine
import Kernel
public import Policy
import SessionProtocol
import SystemPackage

/// Reads the files of a configuration again when they change, or when it is told to. On the main loop.
///
/// Folders are watched, not files: most editors put a new file in the place of the old one, and a file may yet come.
public final class ConfigurationWatch {
    /// From the first sign of a change to reading: whoever writes a file does so in several steps.
    private static let settling = Interval.milliseconds(100)
    /// What can make a path lead to something else, or have other content.
    private static let events = UInt32(
        IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF)

    private let files: ConfigurationFiles
    private let loop: EventLoop
    private let changed: (Result<Configuration, any Error>) -> Void
    /// nil where the kernel gives none: each user may have 128 by default (inotify(7), max_user_instances).
    private let inotify: Descriptor?
    private let number: Int32?
    private var folders: Set<Int32> = []
    /// What was read last.
    private var texts: Result<[ConfigurationFiles.Text], ConfigurationFiles.Unreadable>
    private var timer: TimerToken?

    /// - Parameter changed: called whenever the files say something else than before, or with what is wrong.
    public init(
        _ files: ConfigurationFiles, on loop: EventLoop,
        changed: @escaping (Result<Configuration, any Error>) -> Void
    ) {
        self.files = files
        self.loop = loop
        self.changed = changed
        do throws(Errno) {
            let made = Descriptor(owning: try check(inotify_init1(Int32(IN_CLOEXEC | IN_NONBLOCK))))
            number = made.number
            inotify = consume made
        } catch {
            number = nil
            inotify = nil
        }
        texts = .success([])
        // Watched first: what changes in between is read twice rather than never.
        watchFolders()
        texts = Result { () throws(ConfigurationFiles.Unreadable) in try files.read() }
        if let number { _ = try? loop.register(number, self) }
    }

    /// What was read last; nil if something is wrong with it.
    public var current: Configuration? { try? ConfigurationFiles.parse(try texts.get()) }

    /// Whether changes are noticed by themselves.
    public var isWatching: Bool { number != nil }

    /// Reads the files now, and tells what they say even if that is nothing new.
    public func reload() {
        texts = Result { () throws(ConfigurationFiles.Unreadable) in try files.read() }
        watchFolders()
        tell()
    }

    private func tell() {
        changed(Result { try ConfigurationFiles.parse(try texts.get()) })
    }

    /// Watches the folders of the paths, and those of the files that they lead to by symbolic links. What is not there yet is
    /// waited for where it would appear.
    private func watchFolders() {
        guard let number else { return }
        var wanted: Set<Int32> = []
        for path in files.paths {
            for spelling in Set([path, resolved(path) ?? path]) {
                var folder = spelling[...]
                repeat {
                    folder = folder[..<(folder.lastIndex(of: "/") ?? folder.startIndex)]
                    let name = folder.isEmpty ? "/" : String(folder)
                    let watch = inotify_add_watch(number, name, Self.events | UInt32(IN_ONLYDIR))
                    if watch >= 0 {
                        wanted.insert(watch)
                        break
                    }
                } while !folder.isEmpty
            }
        }
        for watch in folders.subtracting(wanted) { inotify_rm_watch(number, watch) }
        folders = wanted
    }

    private func resolved(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}

extension ConfigurationWatch: EventHandler, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        guard let number else { return }
        // Which file it was does not matter: all are few and small.
        while let count = try? retrying({ read(number, loop.scratch.baseAddress, loop.scratch.count) }),
            count > 0
        {}
        if timer == nil { timer = loop.schedule(self, at: loop.now + Self.settling) }
    }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        let before = texts
        watchFolders()
        texts = Result { () throws(ConfigurationFiles.Unreadable) in try files.read() }
        if texts != before { tell() }
    }
}
