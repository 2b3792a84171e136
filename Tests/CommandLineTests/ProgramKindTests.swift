import CLinux
import Kernel
import SystemPackage
import Testing

/// Programs into which the library cannot be loaded are run, and named.
@Suite("Programs that the library does not reach") struct ProgramKindTests {
    let installation: Installation

    init() throws { installation = try Installation() }

    private func put(_ bytes: [UInt8], _ name: String, mode: mode_t = 0o755) throws -> String {
        let path = installation.directory + "/" + name
        let file = Descriptor(owning: try check(usl_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o700)))
        try #require(write(file.number, bytes, bytes.count) == bytes.count)
        try check(fchmod(file.number, mode))
        return path
    }

    #if arch(x86_64)
    /// A program without a loader that exits with 7: `mov edi, 7; mov eax, 60; syscall`.
    private func exitsWithSeven(class number: UInt8 = 2) -> [UInt8] {
        func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian) { Array($0) }
        }
        let code: [UInt8] = [0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05]
        let (base, size) = (UInt64(0x40_0000), UInt64(64 + 56 + code.count))
        let identity: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, number, 1, 1] + [UInt8](repeating: 0, count: 9)
        let header =
            identity + bytes(UInt16(2)) + bytes(UInt16(62)) + bytes(UInt32(1)) + bytes(base + 64 + 56)
            + bytes(UInt64(64)) + bytes(UInt64(0)) + bytes(UInt32(0)) + bytes(UInt16(64)) + bytes(UInt16(56))
            + bytes(UInt16(1)) + [UInt8](repeating: 0, count: 6)
        let segment =
            bytes(UInt32(1)) + bytes(UInt32(5)) + bytes(UInt64(0)) + bytes(base) + bytes(base) + bytes(size)
            + bytes(size) + bytes(UInt64(0x1000))
        return header + segment + code
    }

    @Test("a statically linked program runs, and its user is told")
    func staticProgram() throws {
        let program = try put(exitsWithSeven(), "static")
        let script = try put(Array("#!\(program)\n".utf8), "script")
        for name in [program, script] {
            let preload = [installation.usl, "--intercept", "preload"]
            let outcome = try installation.run(preload + [name])
            #expect(outcome.status == .exited(7))
            #expect(outcome.errors.hasPrefix("usl: \(name): it is statically linked; "), "\(outcome.errors)")
            #expect(outcome.errors.split(separator: "\n").count == 1)
            // Its file asks for donated sockets.
            let auto = try installation.run([installation.usl, "-v", name])
            #expect(auto.status == .exited(7))
            #expect(
                auto.errors.contains("\(name): intercepted by donate, as it is statically linked"), "\(auto.errors)")
            for options in [["-q"], ["--treatment", "direct"]] {
                let silent = try installation.run([installation.usl] + options + ["--", name])
                #expect(silent == .init(status: .exited(7), output: "", errors: ""))
            }
        }
    }

    @Test("a 32-bit program is named")
    func foreignProgram() throws {
        let outcome = try installation.run([installation.usl, try put(exitsWithSeven(class: 1), "short")])
        #expect(outcome.errors.contains("short: it is a 32-bit program"), "\(outcome.errors)")
        #expect(!outcome.errors.contains("LD_PRELOAD"), "\(outcome.errors)")
    }
    #endif

    @Test("others are not")
    func dynamicProgram() throws {
        let outcome = try installation.run([installation.usl, "sh", "-c", "echo \"$LD_PRELOAD\""])
        #expect(outcome.errors.isEmpty && outcome.output == "\(installation.directory)/lib/usl/libusl.so\n")
    }
}
