import CLinux
import Kernel

/// What ps(1) calls processes of USL (proc_pid_comm(5)); at most 15 bytes.
public enum ProcessName {
    /// The keeper of a gateway that an agent has started for what its programs serve.
    public static let offers: StaticString = "usl-offers"

    /// Names this process, whichever of its threads this is.
    public static func set(_ name: StaticString) {
        let number = usl_open("/proc/self/comm", O_WRONLY | O_CLOEXEC, 0)
        guard number >= 0 else { return }
        let file = Descriptor(owning: number)
        _ = write(file.number, name.utf8Start, name.utf8CodeUnitCount)
    }

    /// Whether a process has that name.
    static func isSet(_ name: StaticString, of process: pid_t) -> Bool {
        let number = usl_open("/proc/\(process)/comm", O_RDONLY | O_CLOEXEC, 0)
        guard number >= 0 else { return false }
        let file = Descriptor(owning: number)
        let bytes = [UInt8](unsafeUninitializedCapacity: 64) { room, count in
            count = max(0, read(file.number, room.baseAddress, room.count))
        }
        return bytes.dropLast().elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }
}
