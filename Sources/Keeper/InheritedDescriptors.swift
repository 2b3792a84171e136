import CLinux
import Kernel

/// The descriptors that the user's shell gave to `usl` and that belong to the program alone. USL's own processes must not
/// keep them open: who reads a pipe waits until nobody can write to it any more, and a lock lasts as long as any holder.
enum InheritedDescriptors {
    /// Occupies those of 0, 1 and 2 that are closed, so that no descriptor of ours gets such a number. The program finds
    /// them closed again.
    static func reserveStandardNumbers() {
        while true {
            let number = usl_open("/dev/null", O_RDWR | O_CLOEXEC, 0)
            if number > STDERR_FILENO { _ = close(number) }
            if number < 0 || number > STDERR_FILENO { return }
        }
    }

    /// Lets go of all but standard error, which is for what USL has to say. USL's own descriptors are closed on exec, and
    /// what came through exec is not; that tells them apart.
    static func closeAll() {
        replaceInputAndOutput()
        for number in openNumbers() {
            let flags = usl_fcntl(number, F_GETFD, 0)
            if flags >= 0, flags & FD_CLOEXEC == 0 { _ = close(number) }
        }
    }

    /// Lets go of all but standard error and `kept`, also of USL's own. For a fork that never returns to those who own
    /// them.
    static func closeAll(except kept: Set<Int32>) {
        replaceInputAndOutput()
        for number in openNumbers() where !kept.contains(number) { _ = close(number) }
    }

    private static func openNumbers() -> [Int32] {
        guard let listing = opendir("/proc/self/fd") else { return [] }
        defer { closedir(listing) }
        var numbers: [Int32] = []
        while let entry = readdir(listing) {
            let number = withUnsafePointer(to: &entry.pointee.d_name) {
                // "." and ".." are read as 0.
                atoi(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            if number > STDERR_FILENO, number != dirfd(listing) { numbers.append(number) }
        }
        return numbers
    }

    private static func replaceInputAndOutput() {
        let null = usl_open("/dev/null", O_RDWR | O_CLOEXEC, 0)
        guard null >= 0 else { return }
        for number in [STDIN_FILENO, STDOUT_FILENO] { _ = dup3(null, number, O_CLOEXEC) }
        _ = close(null)
    }
}
