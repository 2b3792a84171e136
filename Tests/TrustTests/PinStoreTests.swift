import CLinux
import Kernel
import SystemPackage
import TestSupport
import Testing
import Transport

@testable import Trust

@Suite struct PinStoreTests {
    let directory: TemporaryDirectory
    let store: PinStore
    let date = "2026-01-31T08:39:50Z"

    init() throws {
        directory = try TemporaryDirectory()
        store = PinStore(in: directory.state)
    }

    private func verdict(_ letter: Character, of name: String) throws -> PinVerdict {
        try store.read().verdict(on: try fingerprint(letter), of: name)
    }

    @Test func trustsOnFirstUse() throws {
        let (one, other) = (try fingerprint("B"), try fingerprint("C"))
        #expect(try store.read().pins.isEmpty)
        #expect(try store.meet(one, of: "db1:7117", date: date) == .new)
        #expect(try store.meet(one, of: "db1:7117", date: date) == .known)
        #expect(try store.meet(other, of: "db1:7117", date: date) == .changed(old: one))
        #expect(try store.meet(other, of: "192.0.2.1:7117", date: date) == .new)
        #expect(try text(of: store.path) == "db1:7117 \(one) \(date)\n192.0.2.1:7117 \(other) \(date)\n")
        #expect(try verdict("B", of: "db1:7117") == .known)
        #expect(try verdict("B", of: "db1:7118") == .new)
        #expect(try verdict("B", of: "db1") == .new)
        var status = stat()
        #expect(stat(store.path, &status) == 0 && status.st_mode & 0o7777 == 0o600)
    }

    @Test func canBeChangedByHand() throws {
        let (one, other) = (try fingerprint("B"), try fingerprint("C"))
        try store.add(one, of: "db1:7117", date: date)
        try store.add(one, of: "db2:7117", date: date)
        try store.add(other, of: "db1:7117", date: "later")
        #expect(
            try store.read().pins == [
                Pin(name: "db2:7117", fingerprint: one, date: date),
                Pin(name: "db1:7117", fingerprint: other, date: "later"),
            ])
        #expect(try store.remove("db2:7117"))
        #expect(try store.remove("db2:7117") == false)
        #expect(try verdict("B", of: "db2:7117") == .new)
        #expect(try names(in: directory.state.path) == ["pins", "pins.lock"])
    }

    @Test func aDamagedLineIsToldAndLeavesTheOthers() throws {
        let (one, other) = (try fingerprint("B"), try fingerprint("C"))
        try directory.state.make()
        let lines = """
            # my gateways

            db1:7117 \(one) \(date)
            db2:7117 SHA256:short \(date)
            db3:7117
            \tdb4:7117   \(other)\t\(date) \r
            db1:7117 \(other) \(date)
            db5:7117 \(one) 2026-01-31 08:39
            db6:7117 \(one) \(date)
            """
        try put(lines, into: store.path)
        let pins = try store.read()
        #expect(pins.pins.map(\.name) == ["db1:7117", "db4:7117", "db6:7117"])
        #expect(pins.mistakes.map(\.line) == [4, 5, 7, 8])
        #expect(pins.mistakes.first?.description.hasPrefix(store.path + ":4: 'SHA256:short' is no fingerprint") == true)
        #expect(try verdict("C", of: "db1:7117") == .changed(old: one))
        // Damaged is not new: it would be trusted.
        for name in ["db2:7117", "db3:7117", "db5:7117"] {
            guard case .unclear = try store.meet(one, of: name, date: date) else {
                Issue.record("\(name) is taken for new")
                continue
            }
        }
        #expect(try text(of: store.path) == lines)
        // What is added stands on a line of its own, and what others wrote stays.
        #expect(try store.meet(one, of: "db7:7117", date: date) == .new)
        #expect(try text(of: store.path) == lines + "\ndb7:7117 \(one) \(date)\n")
        #expect(try store.remove("db2:7117"))
        #expect(try verdict("B", of: "db2:7117") == .new)
    }

    @Test func whatCannotBeReadIsNotNew() throws {
        try directory.state.make()
        try check(mkdir(store.path, 0o700))
        let key = try fingerprint("B")
        #expect(throws: PinStoreError.self) { try store.meet(key, of: "db1:7117", date: date) }
        rmdir(store.path)
        try put(String(repeating: "#\n", count: 600_000), into: store.path)
        #expect(throws: PinStoreError.self) { try store.meet(key, of: "db1:7117", date: date) }
    }

    /// One of those who meet a gateway at once pins its key, and nobody's pin is lost.
    @Test func severalAtOnce() async throws {
        let (store, date) = (store, date)
        let keys = try "BCDEFGHI".map { try fingerprint($0) }
        let verdicts = try await withThrowingTaskGroup(of: [PinVerdict].self) { group in
            for (index, key) in keys.enumerated() {
                group.addTask {
                    var verdicts = [try store.meet(key, of: "shared:7117", date: date)]
                    for own in 0..<10 {
                        verdicts.append(try store.meet(key, of: "own\(index)-\(own):7117", date: date))
                    }
                    return verdicts
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(verdicts.count { $0[0] == .new } == 1)
        #expect(verdicts.allSatisfy { $0.dropFirst().allSatisfy { $0 == .new } })
        let pins = try store.read()
        #expect(pins.pins.count == 81 && pins.mistakes.isEmpty)
        let shared = try #require(pins.pins.first { $0.name == "shared:7117" })
        let others = verdicts.filter { $0[0] != .new }
        #expect(others.allSatisfy { $0[0] == .changed(old: shared.fingerprint) })
        #expect(try names(in: directory.state.path) == ["pins", "pins.lock"])
    }
}
