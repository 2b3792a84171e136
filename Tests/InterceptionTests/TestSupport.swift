import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

/// The limit of every wait in these tests: far beyond what any takes, so that only a defect reaches it.
let patience: Int32 = 20_000

/// Waits until `descriptor` has one of `events`.
func wait(_ descriptor: Int32, for events: Int32, sourceLocation: SourceLocation = #_sourceLocation) throws {
    var entry = pollfd(fd: descriptor, events: Int16(events), revents: 0)
    try #require(try retrying { poll(&entry, 1, patience) } == 1, "nothing happened", sourceLocation: sourceLocation)
}

/// A TCP socket as an application makes it.
func tcpSocket(_ family: Int32, nonBlocking: Bool = true) throws -> Descriptor {
    let flags = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (nonBlocking ? SOCK_NONBLOCK.rawValue : 0)
    return Descriptor(owning: try check(socket(family, Int32(flags), 0)))
}

/// connect(2); 0 or errno.
func connect(_ socket: borrowing Descriptor, to address: SocketAddress) -> Int32 {
    let number = socket.number
    return address.withSockaddr { usl_connect(number, $0, $1) == 0 ? 0 : usl_errno() }
}

/// The error that a non-blocking connect(2) ended with.
func connectError(of socket: borrowing Descriptor) throws -> Int32 {
    try wait(socket.number, for: POLLOUT)
    return try SocketOption.read(SOL_SOCKET, SO_ERROR, of: socket.number, initial: Int32(0))
}

func address(_ text: String, _ port: UInt16) -> SocketAddress {
    SocketAddress(host: SocketAddress.Host(numeric: text)!, port: port)
}

func write(_ text: String, to descriptor: borrowing Descriptor) throws {
    let bytes = Array(text.utf8)
    let number = descriptor.number
    try #require(try retrying { send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL)) } == bytes.count)
}

/// Kinds of destination: each needs another spelling of the leg's address.
enum Kind: CaseIterable {
    case v4, v6, mapped

    var family: Int32 { self == .v4 ? AF_INET : AF_INET6 }

    /// An address that is nobody's (RFC 5737, RFC 3849).
    var destination: SocketAddress {
        switch self {
        case .v4: address("203.0.113.7", 80)
        case .v6: address("2001:db8::7", 80)
        case .mapped: address("::ffff:203.0.113.7", 80)
        }
    }
}

/// `#require` for owners.
func unwrap<Value: ~Copyable>(
    _ value: consuming Value?, sourceLocation: SourceLocation = #_sourceLocation
) throws -> Value {
    switch consume value {
    case .some(let value): return value
    case .none:
        try #require(Bool(false), "there is none", sourceLocation: sourceLocation)
        fatalError("unreachable")
    }
}
