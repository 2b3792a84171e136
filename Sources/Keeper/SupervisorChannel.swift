import CLinux
public import Kernel
public import SystemPackage

/// What the supervisor of a program's trap asks its keeper, who is the program's parent and so may look into its processes
/// (ptrace(2)), which the supervisor, in a user namespace of its own, may not.
///
/// A question is a process and the number of a descriptor there, and the answer one byte, an errno or zero, with the descriptor.
public struct SupervisorChannel: ~Copyable {
    private let descriptor: Descriptor

    public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    var number: Int32 { descriptor.number }

    // MARK: - The supervisor's end

    /// A copy of another process's descriptor (pidfd_getfd(2)).
    public borrowing func copy(of number: Int32, in process: pid_t) throws(Errno) -> Descriptor {
        var writer = ByteWriter()
        writer.write(process)
        writer.write(number)
        try DescriptorPassing.send(writer.bytes, over: descriptor.number)
        guard var answer = try DescriptorPassing.receive(capacity: 1, over: descriptor.number) else {
            throw .brokenPipe
        }
        if let copy = answer.descriptor.take() { return copy }
        // Without a descriptor, this process has no number left for it (recvmsg(2), MSG_CTRUNC).
        throw answer.bytes.first.flatMap { $0 == 0 ? nil : Errno(rawValue: Int32($0)) } ?? .tooManyOpenFiles
    }

    // MARK: - The keeper's end

    /// Answers a question that has come in.
    ///
    /// - Returns: false once the supervisor has gone.
    borrowing func serve() -> Bool {
        guard let question = try? DescriptorPassing.receive(capacity: 8, over: descriptor.number) else { return false }
        var reader = ByteReader(question.bytes)
        do throws(Errno) {
            guard let process = reader.read(pid_t.self), let number = reader.read(Int32.self) else {
                throw .invalidArgument
            }
            let pidfd = Descriptor(owning: try check(usl_pidfd_open(process)))
            let copy = Descriptor(owning: try check(usl_pidfd_getfd(pidfd.number, number)))
            try DescriptorPassing.send([0], passing: copy.number, over: descriptor.number)
        } catch {
            _ = try? DescriptorPassing.send([UInt8(truncatingIfNeeded: error.rawValue)], over: descriptor.number)
        }
        return true
    }
}
