import CLinux
import Kernel
import Synchronization

/// The server of the load generator: a thread for each connection.
enum LoadServer {
    /// Serves until it is ended.
    static func run(port: UInt16) throws {
        let number = socket(AF_INET6, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard number >= 0 else { throw LoadFailure("socket") }
        let listener = Descriptor(owning: number)
        var one: Int32 = 1
        setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        let any = SocketAddress(host: .wildcard(family: AF_INET6), port: port)
        guard any.withSockaddr({ usl_bind(number, $0, $1) }) == 0, listen(number, 4096) == 0 else {
            throw LoadFailure("listen")
        }
        tell("serving")
        while true {
            let accepted = usl_accept(listener.number, Int32(SOCK_CLOEXEC.rawValue))
            guard accepted >= 0 else { continue }
            pthread_detach(
                try startThread(name: "connection") {
                    // Whoever has gone measures nothing any more; its client tells of it.
                    try? answer(LoadConnection(accepted: accepted))
                })
        }
    }

    private static func answer(_ connection: LoadConnection) throws(LoadFailure) {
        var first: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &first) { bytes throws(LoadFailure) in
            try connection.receive(into: bytes)
        }
        // An agent looks whether anybody is there before its program says anything.
        guard count == 1, let order = LoadOrder(rawValue: first) else { return }
        switch order {
        case .take: try connection.sendCount(try connection.takeAll())
        case .exchange: try exchange(connection)
        case .echo: try echo(connection)
        case .once: return try connection.send(1)
        }
        // The end is the client's.
        _ = try withUnsafeMutableBytes(of: &first) { bytes throws(LoadFailure) in try connection.receive(into: bytes) }
    }

    private static func exchange(_ connection: LoadConnection) throws(LoadFailure) {
        let isOver = Atomic(false)
        let giving = try Worker { () throws(LoadFailure) in
            try connection.give(LoadConnection.bufferSize) { !isOver.load(ordering: .relaxed) }
        }
        let taken = Result { () throws(LoadFailure) in try connection.takeAll() }
        isOver.store(true, ordering: .relaxed)
        _ = try giving.result()
        var question: UInt8 = 0
        _ = try withUnsafeMutableBytes(of: &question) { bytes throws(LoadFailure) in
            try connection.receive(into: bytes)
        }
        try connection.sendCount(try taken.get())
    }

    private static func echo(_ connection: LoadConnection) throws(LoadFailure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LoadConnection.bufferSize, alignment: 4096)
        defer { buffer.deallocate() }
        while true {
            let count = try connection.receive(into: buffer)
            if count == 0 { return }
            try connection.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
    }
}

/// A line on the standard output, at once.
func tell(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    _ = write(STDOUT_FILENO, bytes, bytes.count)
}
