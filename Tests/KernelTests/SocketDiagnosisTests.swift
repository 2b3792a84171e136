import CLinux
import Kernel
import SystemPackage
import Testing

@Suite("Socket diagnosis")
struct SocketDiagnosisTests {
    @Test("a socket is found by its addresses, with its cookie", arguments: [AF_INET, AF_INET6])
    func found(family: Int32) throws {
        let host: SocketAddress.Host = family == AF_INET ? .v4(0) : .v6(high: 0, low: 0, scope: 0)
        let listener = try bound(.loopback(like: host, port: 0))
        let here = try address(of: listener.number)
        try check(listen(listener.number, 1))
        let client = try bound(.loopback(like: host, port: 0))
        let number = client.number
        let there = try address(of: number)
        try check(here.withSockaddr { usl_connect(number, $0, $1) })
        let diagnosis = try SocketDiagnosis()
        let found = try #require(try diagnosis.cookie(local: there, remote: here))
        #expect(found == (try cookie(of: number)))
        var status = stat()
        try check(fstat(number, &status))
        #expect(try diagnosis.inode(local: there, remote: here).map { UInt64($0) } == UInt64(status.st_ino))
        let other = try diagnosis.cookie(local: here, remote: there)
        #expect(other != nil && other != found)
        #expect(try diagnosis.cookie(local: there.with(port: there.port ^ 1), remote: here) == nil)
    }

    @Test("the owner of a socket for datagrams is found, connected or not", arguments: [AF_INET, AF_INET6])
    func datagramOwner(family: Int32) throws {
        let host: SocketAddress.Host = family == AF_INET ? .v4(0) : .v6(high: 0, low: 0, scope: 0)
        let socket = try bound(.loopback(like: host, port: 0), SOCK_DGRAM)
        let wildcard = try bound(SocketAddress(host: host, port: 0), SOCK_DGRAM)
        let (here, number) = (try address(of: socket.number), socket.number)
        let there = SocketAddress.loopback(like: host, port: try address(of: wildcard.number).port)
        let diagnosis = try SocketDiagnosis()
        #expect(try diagnosis.datagramOwner(local: here, remote: there) == geteuid())
        #expect(try diagnosis.datagramOwner(local: there, remote: here) == geteuid())
        try check(there.withSockaddr { usl_connect(number, $0, $1) })
        #expect(try diagnosis.datagramOwner(local: here, remote: there) == geteuid())
        // Connected elsewhere, it gets nothing from there.
        #expect(try diagnosis.datagramOwner(local: here, remote: here) == nil)
    }

    @Test("sockets for datagrams that are bound and not connected are found", arguments: [AF_INET, AF_INET6])
    func unconnectedDatagramSockets(family: Int32) throws {
        let host = SocketAddress.Host.wildcard(family: family)
        let socket = try bound(.loopback(like: host, port: 0), SOCK_DGRAM)
        let wildcard = try bound(SocketAddress(host: host, port: 0), SOCK_DGRAM)
        let (here, number) = (try address(of: socket.number), socket.number)
        let diagnosis = try SocketDiagnosis()
        func state(at address: SocketAddress) throws -> SocketDiagnosis.DatagramSocketState? {
            try diagnosis.unconnectedDatagramSockets(family: family).first { $0.local == address }
        }
        #expect(try state(at: here) != nil)
        let anywhere = try address(of: wildcard.number)
        #expect(try state(at: anywhere)?.isDual == (family == AF_INET6))
        if family == AF_INET6 {
            let limited = Descriptor(owning: try check(CLinux.socket(family, Int32(SOCK_DGRAM.rawValue), 0)))
            let number = limited.number
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, of: number, to: Int32(1))
            try check(SocketAddress(host: host, port: 0).withSockaddr { usl_bind(number, $0, $1) })
            #expect(try state(at: address(of: number))?.isDual == false)
        }
        try check(here.with(port: anywhere.port).withSockaddr { usl_connect(number, $0, $1) })
        #expect(try state(at: here) == nil)
    }

    private func bound(_ address: SocketAddress, _ type: __socket_type = SOCK_STREAM) throws -> Descriptor {
        let socket = Descriptor(owning: try check(socket(address.family, Int32(type.rawValue), 0)))
        let number = socket.number
        try check(address.withSockaddr { usl_bind(number, $0, $1) })
        return socket
    }

    private func address(of number: Int32) throws -> SocketAddress {
        try #require(try SocketAddress.reading { usl_getsockname(number, $0, $1) }.address)
    }

    private func cookie(of number: Int32) throws -> UInt64 {
        var value: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        try check(getsockopt(number, SOL_SOCKET, SO_COOKIE, &value, &length))
        return value
    }
}
