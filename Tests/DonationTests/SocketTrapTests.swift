import CLinux
import TestSupport
import Testing

@testable import Donation

@Suite("The filter of donated programs")
struct SocketTrapTests {
    private let filter = FilterMachine(SocketTrap.donation(withDatagrams: false))
    private let filterOfBoth = FilterMachine(SocketTrap.donation(withDatagrams: true))
    private let stream = UInt64(SOCK_STREAM.rawValue)

    @Test("sockets of TCP are asked for", arguments: [AF_INET, AF_INET6])
    func tcp(family: Int32) throws {
        for transport in [0, UInt64(IPPROTO_TCP), UInt64(IPPROTO_MPTCP)] {
            #expect(try filter.answer(SYS_socket, UInt64(family), stream, transport) == .ask)
            let flags = UInt64(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            #expect(try filter.answer(SYS_socket, UInt64(family), stream | flags, transport) == .ask)
        }
    }

    @Test("sockets of UDP are asked for where they shall be", arguments: [AF_INET, AF_INET6])
    func udp(family: Int32) throws {
        let (family, datagram) = (UInt64(family), UInt64(SOCK_DGRAM.rawValue))
        for transport in [0, UInt64(IPPROTO_UDP)] {
            #expect(try filterOfBoth.answer(SYS_socket, family, datagram, transport) == .ask)
            let flags = UInt64(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            #expect(try filterOfBoth.answer(SYS_socket, family, datagram | flags, transport) == .ask)
            #expect(try filter.answer(SYS_socket, family, datagram, transport) == .pass)
        }
        for transport in [IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDPLITE].map({ UInt64($0) }) {
            #expect(try filterOfBoth.answer(SYS_socket, family, datagram, transport) == .pass)
        }
        let raw = UInt64(SOCK_RAW.rawValue)
        #expect(try filterOfBoth.answer(SYS_socket, family, raw, UInt64(IPPROTO_UDP)) == .pass)
        #expect(try filterOfBoth.answer(SYS_socket, UInt64(AF_UNIX), datagram, 0) == .pass)
        #expect(try filterOfBoth.answer(SYS_socket, family, stream, 0) == .ask)
        #expect(try filterOfBoth.answer(SYS_socket, family, stream, UInt64(IPPROTO_SCTP)) == .pass)
        #expect(try filterOfBoth.answer(SYS_connect, family, datagram) == .pass)
    }

    @Test("other sockets are made as ever")
    func others() throws {
        #expect(try filter.answer(SYS_socket, UInt64(AF_INET), UInt64(SOCK_DGRAM.rawValue), 0) == .pass)
        #expect(
            try filter.answer(SYS_socket, UInt64(AF_INET6), UInt64(SOCK_RAW.rawValue), UInt64(IPPROTO_ICMPV6)) == .pass)
        #expect(try filter.answer(SYS_socket, UInt64(AF_UNIX), stream, 0) == .pass)
        #expect(try filter.answer(SYS_socket, UInt64(AF_NETLINK), UInt64(SOCK_RAW.rawValue), 0) == .pass)
        #expect(try filter.answer(SYS_socket, UInt64(AF_INET), stream, UInt64(IPPROTO_SCTP)) == .pass)
    }

    @Test("arguments of type int are looked at as such")
    func upperHalvesAreIgnored() throws {
        let junk = UInt64(0xdead) << 32
        #expect(try filter.answer(SYS_socket, junk | UInt64(AF_INET), junk | stream, junk) == .ask)
    }

    @Test("listen(2) is asked for, io_uring is not there, and other calls go on")
    func otherCalls() throws {
        #expect(try filter.answer(SYS_listen, 3, 10) == .ask)
        #expect(try filter.answer(SYS_io_uring_setup, 8, 0) == .fail(ENOSYS))
        #expect(try filter.answer(SYS_connect, 3, 0, 16) == .pass)
        #expect(try filter.answer(SYS_read, UInt64(AF_INET), stream, 0) == .pass)
    }

    @Test("calls of another architecture have other numbers")
    func otherArchitecture() throws {
        #expect(try filter.answer(SYS_socket, UInt64(AF_INET), stream, 0, arch: UInt32(AUDIT_ARCH_I386)) == .pass)
    }
}
