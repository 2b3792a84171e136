public import CLinux
import Kernel

/// What people call a process.
public enum ProgramName {
    /// The file name of the executable, else the kernel's short name for it; nil when the process is gone.
    public static func of(pid: pid_t) -> String? {
        path(pid: pid).map { path in path.split(separator: "/").last.map(String.init) ?? path }
    }

    /// The executable, as the kernel knows its path, else its short name; nil when the process is gone.
    public static func path(pid: pid_t) -> String? {
        if let path = linkTarget("/proc/\(pid)/exe") {
            // The kernel marks an executable that was replaced while it ran (proc(5)).
            let mark = " (deleted)"
            return path.hasSuffix(mark) ? String(path.dropLast(mark.count)) : path
        }
        // Another user's process, or one with an address space of its own (kernel threads), shows no link.
        let file = usl_open("/proc/\(pid)/comm", O_RDONLY | O_CLOEXEC, 0)
        guard file >= 0 else { return nil }
        let comm = Descriptor(owning: file)
        let bytes = [UInt8](unsafeUninitializedCapacity: 64) { room, count in
            count = max(0, read(comm.number, room.baseAddress, room.count))
        }
        let name = bytes.prefix { $0 != UInt8(ascii: "\n") }
        return name.isEmpty ? nil : String(decoding: name, as: UTF8.self)
    }
}

/// The target of a symbolic link; nil if there is none or it is too long for a path.
func linkTarget(_ path: String) -> String? {
    var failed = false
    let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { room, count in
        let length = readlink(
            path, UnsafeMutableRawPointer(room.baseAddress!).assumingMemoryBound(to: CChar.self), room.count)
        failed = length < 0 || length == room.count
        count = failed ? 0 : length
    }
    return failed ? nil : String(decoding: bytes, as: UTF8.self)
}
