import CLinux
import Engine
import Kernel
import Rendezvous
import SessionProtocol
import SystemPackage

/// What has been found of destinations, in memory and in the file `detections` of the state directory, where agents of other
/// commands, and later ones, find it. On the main loop, which must not wait for others: no lock is waited for, and what a crash of
/// the machine loses is found again.
final class DetectionStore {
    private static let fileName = "detections"
    private static let lockName = "detections.lock"
    /// A whole cache: lines of two addresses, mostly.
    private static let maximumSize = 128 << 10
    /// How soon to try again to write while another agent does.
    private static let lockRetry = Interval.milliseconds(10)

    private let directory: StateDirectory
    private let loop: EventLoop
    private let wallClock: () -> UInt64
    private let explain: (String) -> Void
    private var cache = DetectionCache()
    /// Questions that this process has asked itself.
    private var own: Set<DetectionQuestion> = []
    /// Questions whose findings the file does not have yet.
    private var unwritten: Set<DetectionQuestion> = []
    private var retryTimer: TimerToken?

    /// - Parameters:
    ///   - wallClock: seconds since 1970.
    ///   - explain: for `-v`.
    init(
        in directory: StateDirectory, on loop: EventLoop, wallClock: @escaping () -> UInt64 = { UInt64(time(nil)) },
        explain: @escaping (String) -> Void
    ) {
        self.directory = directory
        self.loop = loop
        self.wallClock = wallClock
        self.explain = explain
    }

    var path: String { directory.file(DetectionStore.fileName) }

    /// What holds now, here or in the file.
    func finding(for question: DetectionQuestion) -> DetectionFinding? {
        let now = wallClock()
        if let known = cache.finding(for: question, now: now) { return known }
        cache.merge(read(), now: now)
        return cache.finding(for: question, now: now)
    }

    /// What was found last, however long ago, as far as this process has read the file.
    func lastFinding(for question: DetectionQuestion) -> DetectionFinding? { cache.lastFinding(for: question) }

    /// Whether this process has found out itself what is known.
    func isOwn(_ question: DetectionQuestion) -> Bool { own.contains(question) }

    /// - Parameter isForOthers: whether the file gets it too. What people are to be told is found anew by each command.
    func note(_ gateways: [String], for question: DetectionQuestion, isForOthers: Bool) {
        let now = wallClock()
        cache.note(
            DetectionFinding(gateways: gateways, until: now + DetectionFinding.lifetime), for: question, now: now)
        if own.count >= DetectionCache.maximum { own = [] }
        own.insert(question)
        guard isForOthers else { return }
        unwritten.insert(question)
        write()
    }

    /// A gateway did not do what it was found for.
    func expire(gateway: String) {
        let questions = cache.expire(gateway: gateway, now: wallClock())
        guard !questions.isEmpty else { return }
        unwritten.formUnion(questions)
        write()
    }

    /// What was found for one destination did not help.
    func expire(_ question: DetectionQuestion) {
        guard cache.expire(question, now: wallClock()) else { return }
        unwritten.insert(question)
        write()
    }

    // MARK: - The file

    /// Without a file that can be understood, nothing is known.
    private func read() -> DetectionCache {
        do throws(Errno) {
            let text = try FileContent.read(path, limit: DetectionStore.maximumSize)
            if text.count <= DetectionStore.maximumSize, let cache = DetectionCache(text: text) { return cache }
            explain("\(path) cannot be understood, and will be written anew")
        } catch .noSuchFileOrDirectory {
            return DetectionCache()
        } catch {
            explain("cannot read \(path): \(error)")
        }
        return DetectionCache()
    }

    private func write() {
        guard retryTimer == nil, !unwritten.isEmpty else { return }
        do throws(Errno) {
            try directory.make()
            let lock = Descriptor(
                owning: try check(
                    usl_open(directory.file(DetectionStore.lockName), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)))
            let number = lock.number
            try retrying { usl_flock(number, LOCK_EX | LOCK_NB) }
            defer { extendLifetime(lock) }
            let now = wallClock()
            var whole = read()
            for question in unwritten {
                if let finding = cache.lastFinding(for: question) { whole.note(finding, for: question, now: now) }
            }
            whole.compact(now)
            try directory.replace(DetectionStore.fileName, Array(whole.text.utf8).span.bytes, isDurable: false)
            unwritten = []
        } catch .wouldBlock {
            retryTimer = loop.schedule(self, at: loop.now + DetectionStore.lockRetry)
        } catch {
            explain("cannot remember in \(path) what was detected: \(error)")
            unwritten = []
        }
    }
}

extension DetectionStore: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        retryTimer = nil
        write()
    }
}
