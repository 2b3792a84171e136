import CLinux

// The calls of servers as the program would have them without this library: see NextSymbols.swift, of whose constructor this is a
// part.

private typealias ListenFunction = @convention(c) (Int32, Int32) -> Int32
private typealias AcceptFunction =
    @convention(c) (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
private typealias Accept4Function =
    @convention(c) (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?, Int32) -> Int32

nonisolated(unsafe) private var listenAfterUs: ListenFunction?
nonisolated(unsafe) private var acceptAfterUs: AcceptFunction?
nonisolated(unsafe) private var accept4AfterUs: Accept4Function?

/// For the library's constructor.
func findServerCalls() {
    listenAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "listen"), to: ListenFunction?.self)
    acceptAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "accept"), to: AcceptFunction?.self)
    accept4AfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "accept4"), to: Accept4Function?.self)
}

// Straight to the kernel, when another library's constructor calls before ours has run.

func nextListen(_ socket: Int32, _ backlog: Int32) -> Int32 {
    guard let next = listenAfterUs else { return usl_listen_call(socket, backlog) }
    return next(socket, backlog)
}

func nextAccept(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int32 {
    guard let next = acceptAfterUs else { return usl_accept_call(socket, address, length, 0) }
    return next(socket, address, length)
}

func nextAccept4(
    _ socket: Int32, _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?,
    _ flags: Int32
) -> Int32 {
    guard let next = accept4AfterUs else { return usl_accept_call(socket, address, length, flags) }
    return next(socket, address, length, flags)
}
