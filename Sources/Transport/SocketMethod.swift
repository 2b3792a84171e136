import CLinux
import COpenSSL
import Kernel

/// How OpenSSL reads and writes a link's socket: as its own sockets do, but so that writing to a connection that the peer has
/// closed is an error and no SIGPIPE. OpenSSL calls write(2), and neither agent nor gateway ignores that signal: the programs
/// that they start would inherit it.
final class SocketMethod: @unchecked Sendable {
    // Sendable although it holds a pointer: the table does not change after `init`.
    private let table: OpaquePointer

    init() throws(CryptoError) {
        let model = BIO_s_socket()
        guard let table = BIO_meth_new(usl_bio_type_socket(), "link") else { throw CryptoError("making a BIO") }
        self.table = table
        let isMade =
            BIO_meth_set_create(table, BIO_meth_get_create(model)) == 1
            && BIO_meth_set_destroy(table, BIO_meth_get_destroy(model)) == 1
            && BIO_meth_set_ctrl(table, BIO_meth_get_ctrl(model)) == 1
            && BIO_meth_set_read(table, socketRead) == 1
            && BIO_meth_set_write(table, socketWrite) == 1
        guard isMade else { throw CryptoError("making a BIO") }
    }

    deinit { BIO_meth_free(table) }

    /// A BIO over a descriptor, which it does not close. `stream` is told of the first byte.
    func open(_ number: Int32, for stream: TLSStream) throws(CryptoError) -> OpaquePointer {
        guard let bio = BIO_new(table) else { throw CryptoError("making a BIO") }
        usl_bio_set_socket(bio, number)
        BIO_set_ex_data(bio, 0, Unmanaged.passUnretained(stream).toOpaque())
        return bio
    }
}

private func socketRead(_ bio: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ size: Int32) -> Int32 {
    // Handles what the kernel has decrypted as well.
    let count = BIO_meth_get_read(BIO_s_socket())(bio, buffer, size)
    if count > 0, let buffer {
        TLSStream.behind(bio)?.noteArrival(UnsafeRawBufferPointer(start: buffer, count: Int(count)))
    }
    return count
}

private func socketWrite(_ bio: OpaquePointer?, _ bytes: UnsafePointer<CChar>?, _ count: Int32) -> Int32 {
    if usl_bio_kernel_sends(bio) != 0 {
        // The kernel encrypts, and OpenSSL knows how alerts are told to it.
        return withoutBrokenPipeSignal { BIO_meth_get_write(BIO_s_socket())(bio, bytes, count) }
    }
    usl_bio_clear_retry(bio)
    let hasMore = TLSStream.behind(bio)?.isWritingMore == true
    let flags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL) | (hasMore ? Int32(MSG_MORE) : 0)
    let sent = send(usl_bio_socket(bio), bytes, Int(count), flags)
    // EINPROGRESS: a SYN that was to take the bytes with it has left without them, for want of a cookie (tcp_sendmsg_fastopen).
    if sent < 0, usl_errno() == EAGAIN || usl_errno() == EINPROGRESS { usl_bio_set_retry_write(bio) }
    return Int32(sent)
}

extension TLSStream {
    fileprivate static func behind(_ bio: OpaquePointer?) -> TLSStream? {
        BIO_get_ex_data(bio, 0).map { Unmanaged<TLSStream>.fromOpaque($0).takeUnretainedValue() }
    }
}

/// Lets a write fail with EPIPE alone: the signal goes to the thread that writes (signal(7)), which takes it back.
func withoutBrokenPipeSignal(_ write: () -> Int32) -> Int32 {
    let pipe = SignalSet([SIGPIPE])
    let before = SignalSet.blocked
    pipe.block()
    let result = write()
    let code = usl_errno()
    if result < 0, code == EPIPE, !before.contains(SIGPIPE) {
        var value = pipe.value
        var now = timespec()
        _ = sigtimedwait(&value, nil, &now)
    }
    before.setAsMask()
    usl_set_errno(code)
    return result
}
