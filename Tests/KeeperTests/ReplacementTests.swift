import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Keeper

@Suite("Replacement")
struct ReplacementTests {
    @Test("what is asked for arrives byte for byte", arguments: [[], [Array("usl".utf8), [0xff, 0x20], []]])
    func arrives(arguments: [[UInt8]]) throws {
        let asked = Replacement(
            executable: Array("/opt/usl".utf8), directory: Array("/srv".utf8), arguments: arguments)
        let file = try asked.file()
        #expect(Replacement(reading: file) == asked)
    }

    @Test("a file of something else is nothing")
    func garbage() throws {
        let bytes: [[UInt8]] = [[], [1], [1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], [UInt8](repeating: 0, count: 12)]
        for bytes in bytes {
            let file = try memoryFile(bytes, name: "test")
            #expect(Replacement(reading: file) == nil)
        }
    }

    @Test("what a keeper leaves comes back, cut short it does not", arguments: [true, false])
    func legacy(ofProgram: Bool) {
        let items = EscrowKind.allCases.enumerated().map {
            Escrow.Item(key: EscrowKey(1 << 63 + UInt64($0)), kind: $1, descriptor: Int32($0) + 10)
        }
        let program = KeeperLegacy.Program(
            pid: 4711, pidfd: 3, launcher: -1, launcherPidfd: -1, state: .draining, isGivenUp: true,
            directory: Array("/home/a b".utf8), supervisor: 12)
        let legacy = KeeperLegacy(
            controlPath: "/run/usl/agent-1.sock", control: 9, escrow: items, program: ofProgram ? program : nil)
        let bytes = legacy.encoded()
        #expect(KeeperLegacy(bytes) == legacy)
        for count in bytes.indices { #expect(KeeperLegacy(Array(bytes.prefix(count))) == nil) }
        #expect(KeeperLegacy(bytes + [0]) == nil)
    }
}
