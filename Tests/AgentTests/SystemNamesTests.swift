import CLinux
import Kernel
import Policy
import SystemPackage
import Testing

@testable import Agent
@testable import Engine

/// The system's resolver against a name server of the test's own, in a network and with files of its own.
@Suite("System names")
struct SystemNamesTests {
    static let zone = [
        "db.test A 192.0.2.1", "db.test A 192.0.2.2", "db.test AAAA 2001:db8::1", "victim.test A 198.51.100.1",
        "192.0.2.1 PTR db.test", "2001:db8::1 PTR db.test", "192.0.2.66 PTR victim.test", "192.0.2.67 PTR gone.test",
        "192.0.2.68 PTR 198.51.100.1",
    ]

    /// Runs `body` on a thread with a network and mounts of its own, which its children and threads share.
    private func inPrivateSystem(_ body: @escaping @Sendable () throws -> Void) throws {
        let failure = Failure()
        let thread = try startThread(name: "private") {
            do {
                try check(unshare(CLONE_NEWNET | CLONE_NEWNS))
                let directory = try makeDirectory()
                defer { rmdir(directory) }
                try run(
                    """
                    set -e
                    mount --make-rprivate /
                    mount -t tmpfs tmpfs '\(directory)'
                    cd '\(directory)'
                    ip link set lo up
                    echo 'nameserver 127.0.0.1' > resolv.conf
                    echo 'hosts: files dns' > nsswitch.conf
                    echo '127.0.0.1 localhost' > hosts
                    for file in resolv.conf nsswitch.conf hosts; do mount --bind $file /etc/$file; done
                    """)
                try body()
            } catch {
                failure.error = error
            }
        }
        pthread_join(thread, nil)
        if let error = failure.error { throw error }
    }

    /// Written by the thread, and read when it has ended.
    private final class Failure: @unchecked Sendable { var error: (any Error)? }

    private func makeDirectory() throws -> String {
        var template = Array("/tmp/usl-names-XXXXXX".utf8CString)
        return try #require(mkdtemp(&template).map { String(cString: $0) })
    }

    private func run(_ script: String) throws {
        let child = try ChildProcess.spawn(["/bin/sh", "-c", script])
        #expect(try child.wait(milliseconds: 10_000) == .exited(0))
    }

    @Test("a reverse name that does not lead back is not used", .enabled(if: geteuid() == 0))
    func reverseNames() throws {
        try inPrivateSystem {
            var ends: [Int32] = [0, 0]
            try check(pipe2(&ends, O_CLOEXEC))
            let output = Descriptor(owning: ends[0])
            let input = Descriptor(owning: ends[1])
            let server = try ChildProcess.spawn(
                NameServer.command(at: "127.0.0.1", zone: Self.zone), standardOutput: input.number)
            defer { kill(server.pid, SIGKILL) }
            var entry = pollfd(fd: output.number, events: Int16(POLLIN), revents: 0)
            try #require(poll(&entry, 1, 10_000) == 1)

            let loop = try EventLoop(arena: ArenaLimits(capacity: 1 << 20))
            let resolver = Resolver(on: loop)
            func reverse(_ text: String, _ mode: ReverseLookup) throws -> [String] {
                var answer: [SocketAddress.Host]?
                resolver.reverse(try AddressReachTests.host(text), mode) { answer = $0 }
                try turn(loop) { answer != nil }
                return (answer ?? []).map(\.description).sorted()
            }
            #expect(try reverse("192.0.2.1", .confirmed) == ["192.0.2.2", "2001:db8::1"])
            #expect(try reverse("2001:db8::1", .confirmed) == ["192.0.2.1", "192.0.2.2"])
            #expect(try reverse("192.0.2.66", .confirmed).isEmpty)
            #expect(try reverse("192.0.2.66", .unconfirmed) == ["198.51.100.1"])
            for address in ["192.0.2.67", "192.0.2.68", "192.0.2.69"] {
                #expect(try reverse(address, .unconfirmed).isEmpty)
            }
        }
    }
}
