import CLinux
import Testing

@testable import Donation

@Suite("The filter of donated programs")
struct SocketTrapTests {
    private enum Answer: Equatable {
        case ask
        case pass
        case fail(Int32)
    }

    /// Does what the kernel would do with the filter, instruction by instruction (in the kernel, Documentation/networking/filter.rst).
    private func answer(_ call: some BinaryInteger, _ arguments: UInt64..., arch: UInt32 = UInt32(USL_AUDIT_ARCH))
        throws -> Answer
    {
        var data = seccomp_data()
        data.nr = Int32(call)
        data.arch = arch
        withUnsafeMutableBytes(of: &data.args) { room in
            for (index, argument) in arguments.enumerated() {
                room.storeBytes(of: argument, toByteOffset: index * 8, as: UInt64.self)
            }
        }
        let filter = SocketTrap.donation
        var (accumulator, index) = (UInt32(0), 0)
        while true {
            let instruction = try #require(filter.indices.contains(index) ? filter[index] : nil)
            index += 1
            switch Int32(instruction.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                accumulator = withUnsafeBytes(of: data) {
                    $0.loadUnaligned(fromByteOffset: Int(instruction.k), as: UInt32.self)
                }
            case BPF_ALU | BPF_AND | BPF_K: accumulator &= instruction.k
            case BPF_JMP | BPF_JEQ | BPF_K: index += Int(accumulator == instruction.k ? instruction.jt : instruction.jf)
            case BPF_RET | BPF_K:
                switch instruction.k {
                case UInt32(SECCOMP_RET_USER_NOTIF): return .ask
                case UInt32(SECCOMP_RET_ALLOW): return .pass
                default: return .fail(Int32(instruction.k & 0xffff))
                }
            default: try #require(Bool(false), "instruction \(instruction.code) is not expected")
            }
        }
    }

    private let stream = UInt64(SOCK_STREAM.rawValue)

    @Test("sockets of TCP are asked for", arguments: [AF_INET, AF_INET6])
    func tcp(family: Int32) throws {
        for transport in [0, UInt64(IPPROTO_TCP), UInt64(IPPROTO_MPTCP)] {
            #expect(try answer(SYS_socket, UInt64(family), stream, transport) == .ask)
            let flags = UInt64(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
            #expect(try answer(SYS_socket, UInt64(family), stream | flags, transport) == .ask)
        }
    }

    @Test("other sockets are made as ever")
    func others() throws {
        #expect(try answer(SYS_socket, UInt64(AF_INET), UInt64(SOCK_DGRAM.rawValue), 0) == .pass)
        #expect(try answer(SYS_socket, UInt64(AF_INET6), UInt64(SOCK_RAW.rawValue), UInt64(IPPROTO_ICMPV6)) == .pass)
        #expect(try answer(SYS_socket, UInt64(AF_UNIX), stream, 0) == .pass)
        #expect(try answer(SYS_socket, UInt64(AF_NETLINK), UInt64(SOCK_RAW.rawValue), 0) == .pass)
        #expect(try answer(SYS_socket, UInt64(AF_INET), stream, UInt64(IPPROTO_SCTP)) == .pass)
    }

    @Test("arguments of type int are looked at as such")
    func upperHalvesAreIgnored() throws {
        let junk = UInt64(0xdead) << 32
        #expect(try answer(SYS_socket, junk | UInt64(AF_INET), junk | stream, junk) == .ask)
    }

    @Test("listen(2) is asked for, io_uring is not there, and other calls go on")
    func otherCalls() throws {
        #expect(try answer(SYS_listen, 3, 10) == .ask)
        #expect(try answer(SYS_io_uring_setup, 8, 0) == .fail(ENOSYS))
        #expect(try answer(SYS_connect, 3, 0, 16) == .pass)
        #expect(try answer(SYS_read, UInt64(AF_INET), stream, 0) == .pass)
    }

    @Test("calls of another architecture have other numbers")
    func otherArchitecture() throws {
        #expect(try answer(SYS_socket, UInt64(AF_INET), stream, 0, arch: UInt32(AUDIT_ARCH_I386)) == .pass)
    }
}
