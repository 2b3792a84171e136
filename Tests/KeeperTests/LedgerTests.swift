import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Keeper

@Suite("Ledger")
struct LedgerTests {
    private let identity = LedgerIdentity(
        session: Array(1...16), role: .gateway, mode: 2,
        peer: SocketAddress(host: .v6(high: 0x2001_0db8_0000_0000, low: 7, scope: 0), port: 7117),
        destination: SocketAddress(host: .v4(0xc000_0201), port: 5432), openedAt: 123_456_789, leg: EscrowKey(99),
        suspendLimit: 86_400,
        details: .keyShares(opener: Array(1...32), own: Array(33...64)))

    @Test("keys are in no core dump")
    func coreDumps() throws {
        let ledger = try Ledger(capacity: 16)
        let file = Descriptor(owning: try check(usl_open("/proc/self/smaps", O_RDONLY | O_CLOEXEC, 0)))
        var (text, chunk) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
        while case let count = read(file.number, &chunk, chunk.count), count > 0 { text += chunk[..<count] }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        // One for each ledger that this and other tests have mapped now.
        let ledgers = lines.indices.filter { lines[$0].contains("/memfd:usl-ledger") }
        #expect(!ledgers.isEmpty)
        for index in ledgers {
            // proc_pid_smaps(5): `dd`, do not include in core dumps.
            let flags = lines[index...].first { $0.hasPrefix("VmFlags:") }
            #expect(flags?.split(separator: " ").contains("dd") == true)
        }
        #expect(ledger.capacity == 16)
    }

    @Test("a successor finds what was stored, through the memory file alone")
    func survives() throws {
        let ledger = try Ledger(capacity: 16)
        let slot = try unwrap(ledger.allocate())
        let unopened = slot.snapshot()
        #expect(unopened == nil)
        slot.open(identity)
        [UInt8](100..<132).withUnsafeBytes { slot.set(resumeKey: $0) }
        slot.setBase(received: 1, acknowledged: 2)
        slot.set(epochSent: 3)
        slot.set(epochAccepted: 4)
        slot.set(ring: RingPlace(arena: EscrowKey(5), offset: 1 << 30, size: 1 << 16))
        slot.set(tail: 6)
        slot.set(delivered: 7)
        slot.insert(.finRead)
        slot.insert(.finWritten)

        let file = Descriptor(owning: try check(usl_fcntl(ledger.memoryFile, F_DUPFD_CLOEXEC, 0)))
        let successor = try Ledger(adopting: file)
        let index = slot.index
        #expect(successor.capacity == 16 && successor.slotsInUse == [index])
        let adopted = successor.adopt(slot.index)
        let snapshot = try unwrap(adopted.snapshot())
        #expect(snapshot.identity == identity)
        var key: [UInt8] = []
        adopted.withResumeKey { key = Array($0) }
        #expect(key == Array(100..<132))
        #expect(snapshot.baseReceived == 1 && snapshot.baseAcknowledged == 2)
        #expect(snapshot.epochSent == 3 && snapshot.epochAccepted == 4)
        #expect(snapshot.ring == RingPlace(arena: EscrowKey(5), offset: 1 << 30, size: 1 << 16))
        #expect(snapshot.tail == 6 && snapshot.delivered == 7)
        #expect(snapshot.flags == LedgerFlags([.finRead, .finWritten]))
        // The next session gets a slot that is free.
        let next = try unwrap(successor.allocate()).index
        #expect(next != index)
    }

    @Test("what an agent knows of its application comes back")
    func application() throws {
        let ledger = try Ledger(capacity: 1)
        let slot = try unwrap(ledger.allocate())
        var asked = identity
        asked.role = .agent
        asked.details = .application(
            .init(
                source: SocketAddress(host: .v4(0x7f00_0001), port: 40_000), cookie: 1 << 40, isMapped: true,
                program: "a-name-that-is-too-long", rule: 0xffff_fffe))
        slot.open(asked)
        slot.set(instance: 77)
        let snapshot = try unwrap(slot.snapshot())
        guard case .application(let application) = snapshot.identity.details else {
            Issue.record("no application")
            return
        }
        #expect(application.rule == 0xffff_fffe)
        #expect(application.program == "a-name-that-is-t" && application.cookie == 1 << 40 && application.isMapped)
        #expect(application.source == SocketAddress(host: .v4(0x7f00_0001), port: 40_000) && snapshot.instance == 77)
    }

    @Test("a ledger of another version is refused")
    func otherVersion() throws {
        let ledger = try Ledger(capacity: 1)
        var version = Ledger.version + 1
        #expect(pwrite(ledger.memoryFile, &version, 8, 8) == 8)
        let number = try check(usl_fcntl(ledger.memoryFile, F_DUPFD_CLOEXEC, 0))
        #expect(throws: Errno.protocolNotSupported) { _ = try Ledger(adopting: Descriptor(owning: number)) }
    }

    @Test("every kind of address comes back", arguments: ["192.0.2.1", "::1", "2001:db8::1", "fe80::1%1"])
    func addresses(text: String) throws {
        let address = SocketAddress(host: try #require(SocketAddress.Host(numeric: text)), port: 65535)
        #expect(SocketAddress(ledgerBytes: address.ledgerBytes) == address)
        #expect(address.ledgerBytes.count == LedgerRecord.peer.count)
        #expect(SocketAddress(ledgerBytes: [UInt8](repeating: 0, count: 24)) == nil)
    }

    @Test("a slot ends with its owner, and its key with it")
    func frees() throws {
        let ledger = try Ledger(capacity: 1)
        var first = ledger.allocate()
        first?.open(identity)
        [UInt8](repeating: 0xaa, count: 32).withUnsafeBytes { first?.set(resumeKey: $0) }
        #expect(ledger.slotsInUse == [0])
        let isFull = ledger.allocate() == nil
        #expect(isFull)
        first = nil
        #expect(ledger.slotsInUse.isEmpty)
        let again = try unwrap(ledger.allocate())
        let (index, old) = (again.index, again.snapshot())
        #expect(index == 0 && old == nil)
        again.open(identity)
        var key: [UInt8] = []
        again.withResumeKey { key = Array($0) }
        #expect(key == [UInt8](repeating: 0, count: 32))
    }

    @Test("no field overlaps another or leaves the slot")
    func layout() {
        let words = Set(stride(from: 0, through: 88, by: 8))
        let fields = [
            LedgerRecord.identifier, LedgerRecord.resumeKey, LedgerRecord.peer, LedgerRecord.destination,
        ]
        var taken = Set(words.flatMap { $0..<$0 + 8 })
        let application = [LedgerRecord.source, LedgerRecord.program, 192..<200, 200..<208, 248..<256]
        let shares = [LedgerRecord.openerShare, LedgerRecord.ownShare]
        for (index, field) in application.enumerated() {
            #expect(field.lowerBound >= 192 && application[..<index].allSatisfy { !$0.overlaps(field) })
        }
        #expect(shares[0].lowerBound == 192 && shares[0].upperBound == shares[1].lowerBound)
        #expect(shares[1].upperBound == Ledger.slotSize)
        for field in fields {
            #expect(field.lowerBound % 8 == 0 && field.count % 8 == 0 && field.upperBound <= Ledger.slotSize)
            #expect(taken.isDisjoint(with: field))
            taken.formUnion(field)
        }
    }

    @Test("places of rings come back", arguments: [1 << 12, 1 << 16, 1 << 24])
    func ringPlaces(size: Int) {
        for offset in [0, 4096, 1 << 40] {
            let place = RingPlace(arena: EscrowKey(65_535), offset: offset, size: size)
            #expect(RingPlace(packed: place.packed) == place)
        }
        #expect(RingPlace(packed: 0) == nil)
    }
}
