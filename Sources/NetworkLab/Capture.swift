import CLinux
import Kernel
import SystemPackage

/// A file without a name that takes what a program writes, or holds what it shall read (memfd_create(2)).
///
/// A pipe would need a reader at all times, and a file a name that outlives a killed lab.
struct Capture: ~Copyable, Sendable {
    let descriptor: Descriptor

    init(_ contents: [UInt8] = []) throws(LabError) {
        let descriptor = try labCall("memfd_create") { usl_memfd_create("usl-lab", UInt32(MFD_CLOEXEC)) }
        let number = descriptor.number
        var written = 0
        while written < contents.count {
            let count = contents[written...].withUnsafeBytes { write(number, $0.baseAddress, $0.count) }
            guard count > 0 else { throw .system(call: "write", reason: errnoText()) }
            written += count
        }
        lseek(number, 0, SEEK_SET)
        // Several programs may hold it; each write goes to the end.
        if contents.isEmpty { _ = usl_fcntl(number, F_SETFL, O_APPEND) }
        self.descriptor = descriptor
    }

    /// Gives the file itself away.
    consuming func release() -> Descriptor { descriptor }

    /// Everything from `offset` on.
    borrowing func contents(from offset: Int = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = pread(descriptor.number, &chunk, chunk.count, off_t(offset + bytes.count))
            if count <= 0 { return bytes }
            bytes += chunk[..<count]
        }
    }
}

/// A system call that makes a descriptor.
func labCall(_ name: String, _ call: () -> Int32) throws(LabError) -> Descriptor {
    let number = call()
    guard number >= 0 else { throw .system(call: name, reason: errnoText()) }
    return Descriptor(owning: number)
}

/// A call of `Kernel`, whose error becomes one of the lab's.
func labCalls<Result: ~Copyable>(
    _ name: String, _ call: () throws(Errno) -> Result
) throws(LabError) -> Result {
    do { return try call() } catch { throw .system(call: name, reason: error.description) }
}

/// What the last failed system call of this thread failed of.
func errnoText() -> String { String(cString: strerror(usl_errno())) }
