import CLinux
public import Kernel
public import SystemPackage

/// What the supervisor of a program's trap asks its keeper, who is the program's parent and so may look into its processes
/// (ptrace(2)), which the supervisor, in a user namespace of its own, may not.
///
/// A question is a process (or one of its threads) and the number of a descriptor there, and the answer one byte, an errno or zero,
/// with the descriptor. A negative number asks for memory instead: an address follows, and then how much is to be read, or what is to
/// be written; what was read follows the answer's first byte. The supervisor may be older than the keeper that it asks.
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

    /// What a process has in its memory (process_vm_readv(2)).
    ///
    /// - Parameter count: at most `memoryLimit`.
    /// - Throws: `EFAULT` unless all of it is there.
    public borrowing func read(_ count: Int, at address: UInt64, of process: pid_t) throws(Errno) -> [UInt8] {
        var writer = Self.question(.read, process, address)
        writer.write(UInt32(count))
        return try answer(to: writer)
    }

    /// Puts bytes into the memory of a process (process_vm_writev(2)).
    ///
    /// - Parameter bytes: at most `memoryLimit`.
    /// - Throws: `EFAULT` unless there is room for all of them.
    public borrowing func write(_ bytes: [UInt8], at address: UInt64, of process: pid_t) throws(Errno) {
        var writer = Self.question(.write, process, address)
        for byte in bytes { writer.write(byte) }
        _ = try answer(to: writer)
    }

    /// How much memory a question may be about: addresses of sockets are no longer (`struct sockaddr_storage`).
    public static let memoryLimit = 128

    private enum MemoryAccess: Int32 {
        case read = -1
        case write = -2
    }

    private static func question(_ access: MemoryAccess, _ process: pid_t, _ address: UInt64) -> ByteWriter {
        var writer = ByteWriter()
        writer.write(process)
        writer.write(access.rawValue)
        writer.write(address)
        return writer
    }

    private borrowing func answer(to question: ByteWriter) throws(Errno) -> [UInt8] {
        try DescriptorPassing.send(question.bytes, over: descriptor.number)
        let received = try DescriptorPassing.receive(capacity: 1 + Self.memoryLimit, over: descriptor.number)
        guard let received, let code = received.bytes.first else { throw .brokenPipe }
        if code != 0 { throw Errno(rawValue: Int32(code)) }
        return Array(received.bytes.dropFirst())
    }

    // MARK: - The keeper's end

    /// Answers a question that has come in.
    ///
    /// - Returns: false once the supervisor has gone.
    borrowing func serve() -> Bool {
        let capacity = 2 * MemoryLayout<UInt64>.size + Self.memoryLimit
        guard let question = try? DescriptorPassing.receive(capacity: capacity, over: descriptor.number) else {
            return false
        }
        var reader = ByteReader(question.bytes)
        do throws(Errno) {
            guard let process = reader.read(pid_t.self), let number = reader.read(Int32.self) else {
                throw .invalidArgument
            }
            guard number >= 0 else {
                let bytes = try Self.reach(MemoryAccess(rawValue: number), of: process, &reader)
                try DescriptorPassing.send([0] + bytes, over: descriptor.number)
                return true
            }
            let pidfd = Descriptor(owning: try check(usl_pidfd_open(process)))
            let copy = Descriptor(owning: try check(usl_pidfd_getfd(pidfd.number, number)))
            try DescriptorPassing.send([0], passing: copy.number, over: descriptor.number)
        } catch {
            _ = try? DescriptorPassing.send([UInt8(truncatingIfNeeded: error.rawValue)], over: descriptor.number)
        }
        return true
    }

    /// - Returns: what was read.
    private static func reach(
        _ access: MemoryAccess?, of process: pid_t, _ reader: inout ByteReader
    ) throws(Errno) -> [UInt8] {
        guard let access, let address = reader.read(UInt64.self) else { throw .invalidArgument }
        switch access {
        case .read:
            guard let count = reader.read(UInt32.self), count <= memoryLimit else { throw .invalidArgument }
            var bytes = [UInt8](repeating: 0, count: Int(count))
            try move(&bytes, address) { process_vm_readv(process, $0, 1, $1, 1, 0) }
            return bytes
        case .write:
            var bytes = reader.readBytes()
            try move(&bytes, address) { process_vm_writev(process, $0, 1, $1, 1, 0) }
            return []
        }
    }

    private static func move(
        _ bytes: inout [UInt8], _ address: UInt64, _ call: (UnsafePointer<iovec>, UnsafePointer<iovec>) -> Int
    ) throws(Errno) {
        let moved = bytes.withUnsafeMutableBytes { room in
            var here = iovec(iov_base: room.baseAddress, iov_len: room.count)
            // An address of the other process; nothing here follows it.
            var there = iovec(iov_base: UnsafeMutableRawPointer(bitPattern: UInt(address)), iov_len: room.count)
            return call(&here, &there)
        }
        guard try check(moved) == bytes.count else { throw .badAddress }
    }
}
