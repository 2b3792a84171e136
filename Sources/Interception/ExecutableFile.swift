import CLinux
import Kernel

/// A regular file that this user may execute and read.
struct ExecutableFile: ~Copyable {
    /// Longest first line of a script that the kernel looks at (`BINPRM_BUF_SIZE`).
    private static let lineLimit = 256

    private let descriptor: Descriptor
    private let mode: Int32
    private let owner: uid_t
    private let group: gid_t

    init?(_ path: [UInt8]) {
        let number = (path + [0]).withUnsafeBufferPointer {
            $0.withMemoryRebound(to: CChar.self) {
                access($0.baseAddress!, X_OK) == 0
                    ? usl_open($0.baseAddress!, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0) : -1
            }
        }
        guard number >= 0 else { return nil }
        let file = Descriptor(owning: number)
        var status = stat()
        guard fstat(number, &status) == 0, Int32(bitPattern: status.st_mode) & S_IFMT == S_IFREG else { return nil }
        descriptor = file
        (mode, owner, group) = (Int32(bitPattern: status.st_mode), status.st_uid, status.st_gid)
    }

    /// As many bytes as there are, `count` at most.
    borrowing func bytes(at offset: UInt64, count: Int) -> [UInt8] {
        guard let offset = off_t(exactly: offset) else { return [] }
        let number = descriptor.number
        return [UInt8](unsafeUninitializedCapacity: count) { room, filled in
            filled = max(0, pread(number, room.baseAddress, count, offset))
        }
    }

    /// What stands behind `#!` (execve(2), "Interpreter scripts").
    var interpreter: [UInt8]? {
        let beginning = bytes(at: 0, count: Self.lineLimit)
        guard beginning.starts(with: Array("#!".utf8)) else { return nil }
        let isSpace = { (byte: UInt8) in byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }
        let path = beginning.dropFirst(2).drop(while: isSpace).prefix {
            !isSpace($0) && $0 != UInt8(ascii: "\n") && $0 != 0
        }
        return path.isEmpty ? nil : Array(path)
    }

    /// What the process would get from the file that its caller does not have (in the kernel, cap_bprm_creds_from_file).
    func privilege(for caller: ProgramFile.Caller) -> ProgramFile.Privilege? {
        guard !caller.isLimited, !isOnQuietMount else { return nil }
        if mode & S_ISUID != 0, owner != caller.user { return .setUserID }
        // Without the group's right to execute, the bit once meant mandatory locking.
        if mode & S_ISGID != 0, mode & 0o010 != 0, group != caller.group { return .setGroupID }
        if caller.user != 0, hasCapabilities { return .capabilities }
        return nil
    }

    /// Of a file system that is mounted with `nosuid`.
    private var isOnQuietMount: Bool {
        var status = statvfs()
        return fstatvfs(descriptor.number, &status) == 0 && status.f_flag & UInt(ST_NOSUID) != 0
    }

    /// `struct vfs_cap_data` of <linux/capability.h>: a word whose lowest bit makes the permitted ones effective, and two of the
    /// permitted ones, each before one of the inheritable ones. Little-endian.
    private var hasCapabilities: Bool {
        let number = descriptor.number
        let value = [UInt8](unsafeUninitializedCapacity: 64) { room, count in
            count = max(0, fgetxattr(number, "security.capability", room.baseAddress, room.count))
        }
        guard value.count >= 12 else { return false }
        let isEffective = value[0] & 1 != 0
        return isEffective || value[4..<8].contains { $0 != 0 } || value.dropFirst(12).prefix(4).contains { $0 != 0 }
    }
}
