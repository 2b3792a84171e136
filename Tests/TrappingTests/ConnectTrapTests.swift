import CLinux
import TestSupport
import Testing

@testable import Trapping

@Suite("The filter of programs whose connect(2) is made for them")
struct ConnectTrapTests {
    private let filter = FilterMachine(ConnectTrap.filter)

    @Test(
        "what connects, what tells of connections and what listens is asked for",
        arguments: [
            SYS_connect, SYS_getpeername, SYS_getsockname, SYS_listen,
        ])
    func asked(call: Int32) throws { #expect(try filter.answer(call, 3, 0, 16) == .ask) }

    @Test("data with a SYN are refused as where the kernel has that off, and other data go on")
    func fastOpen() throws {
        let fastOpen = UInt64(MSG_FASTOPEN)
        #expect(try filter.answer(SYS_sendto, 3, 0, 1, fastOpen | UInt64(MSG_NOSIGNAL)) == .fail(EOPNOTSUPP))
        #expect(try filter.answer(SYS_sendmmsg, 3, 0, 1, fastOpen) == .fail(EOPNOTSUPP))
        #expect(try filter.answer(SYS_sendmsg, 3, 0, fastOpen) == .fail(EOPNOTSUPP))
        for call in [SYS_sendto, SYS_sendmmsg, SYS_sendmsg] {
            #expect(try filter.answer(call, 3, 0, 0, 0) == .pass)
            #expect(
                try filter.answer(call, 3, fastOpen, UInt64(MSG_DONTWAIT), UInt64(MSG_DONTWAIT))
                    == .pass)
        }
    }

    @Test("io_uring is not there, and all other calls go on")
    func others() throws {
        #expect(try filter.answer(SYS_io_uring_setup, 8, 0) == .fail(ENOSYS))
        for call in [SYS_socket, SYS_read, SYS_write, SYS_accept4, SYS_bind, SYS_close] {
            #expect(try filter.answer(call, 3, 0, 0, UInt64(MSG_FASTOPEN)) == .pass)
        }
    }

    @Test("another architecture's calls have other numbers, and go on")
    func otherArchitecture() throws { #expect(try filter.answer(SYS_connect, 3, arch: 0x4000_0003) == .pass) }
}
