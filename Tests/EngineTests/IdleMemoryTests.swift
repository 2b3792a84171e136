import CLinux
import Kernel
import SessionProtocol
import SystemPackage
import Testing
import Transport

@testable import Engine

/// Measures, so it runs alone and on request: `USL_MEASURE=1 swift test --filter IdleMemoryTests`.
@Suite("Idle memory", .enabled(if: getenv("USL_MEASURE") != nil))
struct IdleMemoryTests {
    @Test("an idle session takes at most 8 KiB of user space at either end")
    func idleSessions() throws {
        var limit = rlimit(rlim_cur: 0, rlim_max: 0)
        getrlimit(RLIMIT_NOFILE, &limit)
        limit.rlim_cur = limit.rlim_max
        setrlimit(RLIMIT_NOFILE, &limit)
        let count = 1_000
        let loop = try makeLoop()
        let before = residentBytes()
        var sessions: [TestSession] = []
        for id in 1...count {
            let session = try TestSession(on: (loop, loop), near: [1], far: [2], id: UInt64(id))
            session.near.finishes = false
            session.far.finishes = false
            try run([session]) { session.near.heard == 1 && session.far.heard == 1 && session.path.accepted == 1 }
            sessions.append(session)
        }
        try run(sessions) {
            sessions.allSatisfy { $0.opener?.session.undelivered == 0 && $0.acceptor.driver?.session.undelivered == 0 }
        }
        for session in sessions {
            for driver in [session.opener, session.acceptor.driver] {
                for _ in 0..<2 { driver?.timerExpired(TimerToken(index: .max, generation: 0), on: loop) }
            }
        }
        #expect(loop.arena.bytesInUse == 0)
        let each = (residentBytes() - before) / (2 * count)
        print("idle session with its test application and half of the path: \(each) bytes of user space")
        #expect(each <= 8 << 10)
    }

    /// Anonymous memory of this process: rings are not in it, nor is code.
    private func residentBytes() -> Int {
        var text = [UInt8](repeating: 0, count: 8192)
        guard let file = try? check(usl_open("/proc/self/status", O_RDONLY, 0)) else { return 0 }
        let descriptor = Descriptor(owning: file)
        let length = read(descriptor.number, &text, text.count)
        let lines = String(decoding: text[..<max(0, length)], as: UTF8.self).split(separator: "\n")
        let line = lines.first { $0.hasPrefix("RssAnon:") } ?? ""
        return (Int(line.split(separator: " ").dropFirst().first ?? "") ?? 0) * 1024
    }
}
