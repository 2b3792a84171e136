import CLinux

// The calls for datagrams as the program would have them without this library: see NextSymbols.swift, of whose constructor
// this is a part.

typealias SendToFunction =
    @convention(c) (Int32, UnsafeRawPointer?, Int, Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int
typealias ReceiveFromFunction =
    @convention(c) (
        Int32, UnsafeMutableRawPointer?, Int, Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?
    ) -> Int
typealias SendMessageFunction = @convention(c) (Int32, UnsafePointer<msghdr>?, Int32) -> Int
typealias ReceiveMessageFunction = @convention(c) (Int32, UnsafeMutablePointer<msghdr>?, Int32) -> Int
typealias SendMessagesFunction = @convention(c) (Int32, UnsafeMutablePointer<mmsghdr>?, UInt32, Int32) -> Int32
typealias ReceiveMessagesFunction =
    @convention(c) (Int32, UnsafeMutablePointer<mmsghdr>?, UInt32, Int32, UnsafeMutablePointer<timespec>?) -> Int32

nonisolated(unsafe) private var sendToAfterUs: SendToFunction?
nonisolated(unsafe) private var receiveFromAfterUs: ReceiveFromFunction?
nonisolated(unsafe) private var sendMessageAfterUs: SendMessageFunction?
nonisolated(unsafe) private var receiveMessageAfterUs: ReceiveMessageFunction?
nonisolated(unsafe) private var sendMessagesAfterUs: SendMessagesFunction?
nonisolated(unsafe) private var receiveMessagesAfterUs: ReceiveMessagesFunction?

/// For the library's constructor.
func findDatagramCalls() {
    sendToAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "sendto"), to: SendToFunction?.self)
    receiveFromAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "recvfrom"), to: ReceiveFromFunction?.self)
    sendMessageAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "sendmsg"), to: SendMessageFunction?.self)
    receiveMessageAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "recvmsg"), to: ReceiveMessageFunction?.self)
    sendMessagesAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "sendmmsg"), to: SendMessagesFunction?.self)
    receiveMessagesAfterUs = unsafeBitCast(dlsym(usl_rtld_next(), "recvmmsg"), to: ReceiveMessagesFunction?.self)
}

// Straight to the kernel, when another library's constructor calls before ours has run.

func nextSendTo(
    _ socket: Int32, _ buffer: UnsafeRawPointer?, _ size: Int, _ flags: Int32, _ address: UnsafePointer<sockaddr>?,
    _ length: socklen_t
) -> Int {
    guard let next = sendToAfterUs else { return usl_sendto_call(socket, buffer, size, flags, address, length) }
    return next(socket, buffer, size, flags, address, length)
}

func nextReceiveFrom(
    _ socket: Int32, _ buffer: UnsafeMutableRawPointer?, _ size: Int, _ flags: Int32,
    _ address: UnsafeMutablePointer<sockaddr>?, _ length: UnsafeMutablePointer<socklen_t>?
) -> Int {
    guard let next = receiveFromAfterUs else { return usl_recvfrom_call(socket, buffer, size, flags, address, length) }
    return next(socket, buffer, size, flags, address, length)
}

func nextSendMessage(_ socket: Int32, _ message: UnsafePointer<msghdr>?, _ flags: Int32) -> Int {
    guard let next = sendMessageAfterUs else { return usl_sendmsg_call(socket, message, flags) }
    return next(socket, message, flags)
}

func nextReceiveMessage(_ socket: Int32, _ message: UnsafeMutablePointer<msghdr>?, _ flags: Int32) -> Int {
    guard let next = receiveMessageAfterUs else { return usl_recvmsg_call(socket, message, flags) }
    return next(socket, message, flags)
}

func nextSendMessages(
    _ socket: Int32, _ messages: UnsafeMutablePointer<mmsghdr>?, _ count: UInt32, _ flags: Int32
) -> Int32 {
    guard let next = sendMessagesAfterUs else { return usl_sendmmsg_call(socket, messages, count, flags) }
    return next(socket, messages, count, flags)
}

func nextReceiveMessages(
    _ socket: Int32, _ messages: UnsafeMutablePointer<mmsghdr>?, _ count: UInt32, _ flags: Int32,
    _ timeout: UnsafeMutablePointer<timespec>?
) -> Int32 {
    guard let next = receiveMessagesAfterUs else {
        return usl_recvmmsg_call(socket, messages, count, flags, timeout)
    }
    return next(socket, messages, count, flags, timeout)
}
