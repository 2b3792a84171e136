import CLinux

// What the library knows, written once by its constructor, while the process has one thread, and only read afterwards:
// a child of vfork(2) shares this memory with its parent. Constant initialisers, so that no access runs a
// once-initialiser, which takes a lock and so may not be used in a signal handler.

private typealias SocketFunction = @convention(c) (Int32, Int32, Int32) -> Int32
private typealias ConnectFunction = @convention(c) (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
private typealias NameFunction =
    @convention(c) (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32

nonisolated(unsafe) private var socketAfterUs: SocketFunction?
nonisolated(unsafe) private var connectAfterUs: ConnectFunction?
nonisolated(unsafe) private var peerNameAfterUs: NameFunction?
nonisolated(unsafe) private var localNameAfterUs: NameFunction?

/// The agent's control socket; its family is zero when this process has no agent.
nonisolated(unsafe) private(set) var agentAddress = sockaddr_un()

/// Whether the application's own TCP sockets are to be of Multipath TCP (`USL_TRANSPORT`).
nonisolated(unsafe) private(set) var wantsMultipath = false

/// Runs when the loader initialises the library.
@section(".init_array") @used
private let initialise: @convention(c) () -> Void = {
    socketAfterUs = findSocket()
    connectAfterUs = findConnect()
    peerNameAfterUs = findPeerName()
    localNameAfterUs = findLocalName()
    findDatagramCalls()
    findServerCalls()
    // A copy: programs that set their title (setproctitle) write over the environment's memory.
    guard let path = getenv("USL_AGENT") else { return }
    let count = strlen(path)
    var address = sockaddr_un()
    guard count > 0, count < MemoryLayout.size(ofValue: address.sun_path) else { return }
    withUnsafeMutableBytes(of: &address.sun_path) {
        $0.copyMemory(from: UnsafeRawBufferPointer(start: path, count: count))
    }
    address.sun_family = sa_family_t(AF_UNIX)
    agentAddress = address
    readRelayedPorts()
    if let transport = getenv("USL_TRANSPORT") { wantsMultipath = strcmp(transport, "mptcp") == 0 }
}

/// socket(2) as the program would have it without this library.
func nextSocket(_ domain: Int32, _ type: Int32, _ protocolNumber: Int32) -> Int32 {
    guard let next = socketAfterUs ?? findSocket() else { return usl_socket_call(domain, type, protocolNumber) }
    return next(domain, type, protocolNumber)
}

/// connect(2) as the program would have it without this library: libc's, or that of the next preload library. Looked up
/// on the spot when another library's constructor connects before ours has run.
func nextConnect(_ socket: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> Int32 {
    guard let next = connectAfterUs ?? findConnect() else { return usl_connect(socket, address, length) }
    return next(socket, address, length)
}

/// getpeername(2), likewise.
func nextPeerName(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    guard let next = peerNameAfterUs ?? findPeerName() else { return usl_getpeername(socket, address, length) }
    return next(socket, address, length)
}

/// getsockname(2), likewise.
func nextLocalName(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    guard let next = localNameAfterUs ?? findLocalName() else {
        return usl_getsockname_call(socket, address, length)
    }
    return next(socket, address, length)
}

private func findSocket() -> SocketFunction? {
    unsafeBitCast(dlsym(usl_rtld_next(), "socket"), to: SocketFunction?.self)
}

private func findConnect() -> ConnectFunction? {
    unsafeBitCast(dlsym(usl_rtld_next(), "connect"), to: ConnectFunction?.self)
}

private func findPeerName() -> NameFunction? {
    unsafeBitCast(dlsym(usl_rtld_next(), "getpeername"), to: NameFunction?.self)
}

private func findLocalName() -> NameFunction? {
    unsafeBitCast(dlsym(usl_rtld_next(), "getsockname"), to: NameFunction?.self)
}
