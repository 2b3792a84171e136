import CLinux
import Kernel
import Rendezvous
import Testing

@testable import Agent
@testable import Engine

@Suite("Detection store")
struct DetectionStoreTests {
    private let directory = StateDirectory(path: "/tmp/usl-detections-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
    private let loop: EventLoop
    private let start: UInt64 = 1_700_000_000

    init() throws { loop = try makeLoop() }

    private final class Clock { var now: UInt64 = 0 }
    private final class Lines { var lines: [String] = [] }

    private func store(_ clock: Clock? = nil, _ lines: Lines? = nil) -> DetectionStore {
        let start = start
        return DetectionStore(in: directory, on: loop, wallClock: { clock?.now ?? start }) { lines?.lines.append($0) }
    }

    private func question(_ place: String) -> DetectionQuestion { DetectionQuestion(.port, at: place, isPlain: false) }

    private func cleanUp() {
        for name in ["detections", "detections.lock"] { unlink(directory.file(name)) }
        rmdir(directory.path)
    }

    @Test("what one agent has found, others know, until it is over; what people are to be told, they find themselves")
    func shared() throws {
        defer { cleanUp() }
        let (clock, mine) = (Clock(), store())
        clock.now = start
        let theirs = store(clock)
        #expect(theirs.finding(for: question("a")) == nil)
        mine.note([], for: question("a"), isForOthers: true)
        mine.note(["g"], for: question("b"), isForOthers: true)
        mine.note([], for: question("c"), isForOthers: false)
        #expect(theirs.finding(for: question("a"))?.gateways == [])
        #expect(theirs.finding(for: question("b"))?.gateways == ["g"] && !theirs.isOwn(question("b")))
        #expect(mine.isOwn(question("b")))
        #expect(theirs.finding(for: question("c")) == nil && mine.finding(for: question("c")) != nil)
        clock.now += DetectionFinding.lifetime
        #expect(theirs.finding(for: question("b")) == nil)
        #expect(theirs.lastFinding(for: question("b"))?.gateways == ["g"])
    }

    @Test("a gateway that has failed is asked again by all")
    func expiry() throws {
        defer { cleanUp() }
        let mine = store()
        mine.note(["g"], for: question("a"), isForOthers: true)
        mine.expire(gateway: "g")
        let theirs = store()
        #expect(mine.finding(for: question("a")) == nil && theirs.finding(for: question("a")) == nil)
        #expect(theirs.lastFinding(for: question("a"))?.gateways == ["g"])
    }

    @Test("the file is this user's alone")
    func mode() throws {
        defer { cleanUp() }
        let mine = store()
        mine.note([], for: question("a"), isForOthers: true)
        var status = stat()
        try check(stat(mine.path, &status))
        #expect(status.st_mode & 0o777 == 0o600)
    }

    @Test(
        "a file that cannot be understood is as good as none, is told, and is written anew",
        arguments: ["", "\0", "usl detections 2\n", "usl detections 1\nport", String(repeating: "x", count: 300_000)])
    func damaged(text: String) throws {
        defer { cleanUp() }
        try directory.make()
        let lines = Lines()
        let mine = store(nil, lines)
        try directory.replace("detections", Array(text.utf8).span.bytes)
        #expect(mine.finding(for: question("a")) == nil)
        #expect(lines.lines.count == 1 && lines.lines[0].hasPrefix(mine.path))
        mine.note([], for: question("a"), isForOthers: true)
        #expect(store().finding(for: question("a")) != nil)
    }

    @Test("where nothing can be written, it is told, and this agent remembers all the same")
    func unwritable() {
        let lines = Lines()
        let mine = DetectionStore(
            in: StateDirectory(path: "/proc/none"), on: loop, wallClock: { start }, explain: { lines.lines.append($0) })
        mine.note([], for: question("a"), isForOthers: true)
        #expect(mine.finding(for: question("a")) != nil)
        #expect(lines.lines.count == 1)
    }

    @Test("agents that write at once lose nothing, and none waits for another")
    func concurrent() throws {
        defer { cleanUp() }
        try directory.make()
        let lock = Descriptor(owning: try check(usl_open(directory.file("detections.lock"), O_RDWR | O_CREAT, 0o600)))
        let number = lock.number
        try retrying { usl_flock(number, LOCK_EX) }
        let (mine, theirs) = (store(), store())
        mine.note(["g"], for: question("a"), isForOthers: true)
        theirs.note(["h"], for: question("b"), isForOthers: true)
        #expect(store().finding(for: question("a")) == nil)
        try retrying { usl_flock(number, LOCK_UN) }
        try turn(loop) {
            store().finding(for: question("a")) != nil && store().finding(for: question("b")) != nil
        }
    }

    @Test("a full file is read and written in a moment")
    func quick() throws {
        defer { cleanUp() }
        let mine = store()
        var cache = DetectionCache()
        for number in 0..<DetectionCache.maximum - 1 {
            cache.note(
                DetectionFinding(gateways: [], until: start + 500), for: question("[2001:db8::\(number)]:7117"),
                now: start)
        }
        try directory.make()
        try directory.replace("detections", Array(cache.text.utf8).span.bytes)
        let begin = ContinuousClock.now
        mine.note([], for: question("a"), isForOthers: true)
        let took = ContinuousClock.now - begin
        #expect(store().finding(for: question("[2001:db8::7]:7117")) != nil)
        #expect(took < .seconds(1), "\(took)")
    }
}
