import CLinux
import Kernel
import NetworkLab

/// A connection of the load generator: a socket that blocks. Failures end the program, as there is nothing left to measure.
final class LoadConnection: Sendable {
    /// As large as what is written and read at once in bulk.
    static let bufferSize = 256 << 10

    private let socket: Descriptor

    init(accepted number: Int32) {
        socket = Descriptor(owning: number)
        sendAtOnce()
    }

    init(to address: SocketAddress) throws(LoadFailure) {
        let number = CLinux.socket(address.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw LoadFailure("socket") }
        socket = Descriptor(owning: number)
        // By the library, so that a preloaded one has its say.
        let result = address.withSockaddr { CLinux.connect(number, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
        guard result == 0 else { throw LoadFailure("connect") }
        sendAtOnce()
    }

    private func sendAtOnce() {
        var one: Int32 = 1
        setsockopt(socket.number, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    func send(_ bytes: UnsafeRawBufferPointer) throws(LoadFailure) {
        var sent = 0
        while sent < bytes.count {
            let count = CLinux.send(socket.number, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            guard count > 0 else { throw LoadFailure("send") }
            sent += count
        }
    }

    func send(_ byte: UInt8) throws(LoadFailure) {
        var byte = byte
        guard CLinux.send(socket.number, &byte, 1, Int32(MSG_NOSIGNAL)) == 1 else { throw LoadFailure("send") }
    }

    /// - Returns: how many bytes came; 0 at the end.
    func receive(into buffer: UnsafeMutableRawBufferPointer, all: Bool = false) throws(LoadFailure) -> Int {
        let flags = all ? Int32(MSG_WAITALL) : 0
        let count = recv(socket.number, buffer.baseAddress, buffer.count, flags)
        guard count >= 0 else { throw LoadFailure("recv") }
        return count
    }

    /// Takes bytes until one is 1, which is always the last.
    ///
    /// - Returns: how many there were.
    func takeAll() throws(LoadFailure) -> UInt64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferSize, alignment: 4096)
        defer { buffer.deallocate() }
        var total: UInt64 = 0
        while true {
            let count = try receive(into: buffer)
            guard count > 0 else { throw LoadFailure(reason: "the stream ended early") }
            total += UInt64(count)
            if buffer[count - 1] == 1 { return total }
        }
    }

    /// Gives bytes, so many at a time, while it is told to go on; the last one is 1.
    ///
    /// - Returns: how many there were.
    func give(_ size: Int, while goesOn: () -> Bool) throws(LoadFailure) -> UInt64 {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        var total: UInt64 = 0
        while goesOn() {
            try send(UnsafeRawBufferPointer(buffer))
            total += UInt64(size)
        }
        buffer[size - 1] = 1
        try send(UnsafeRawBufferPointer(buffer))
        return total + UInt64(size)
    }

    func sendCount(_ count: UInt64) throws(LoadFailure) {
        var count = count
        try withUnsafeBytes(of: &count) { bytes throws(LoadFailure) in try send(bytes) }
    }

    func receiveCount() throws(LoadFailure) -> UInt64 {
        var count: UInt64 = 0
        let received = try withUnsafeMutableBytes(of: &count) { bytes throws(LoadFailure) in
            try receive(into: bytes, all: true)
        }
        guard received == MemoryLayout<UInt64>.size else { throw LoadFailure(reason: "the stream ended early") }
        return count
    }
}

struct LoadFailure: Error, CustomStringConvertible {
    let description: String

    init(reason: String) { description = reason }

    /// A system call has failed.
    init(_ call: String) { description = "\(call): \(String(cString: strerror(usl_errno())))" }
}
