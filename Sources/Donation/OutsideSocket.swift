import CLinux
import Kernel
import SystemPackage
import Transport

/// A socket of the machine's own network, in place of one or several of the program's.
struct OutsideSocket: ~Copyable {
    let socket: DatagramSocket
    private let family: Int32
    /// What was set last; nil: what the kernel has chosen.
    private var hops: UInt8?
    private var trafficClass: UInt8 = 0

    /// - Parameter descriptor: as the agent has made it: bound, and not blocking.
    init(owning descriptor: consuming Descriptor, family: Int32) throws(Errno) {
        socket = DatagramSocket(owning: descriptor)
        self.family = family
        // The program's own socket has been asked for the permission, where broadcasts are known as such.
        try SocketOption.set(SOL_SOCKET, SO_BROADCAST, of: socket.number, to: Int32(1))
        // Without it, an unconnected socket hears nothing of what becomes of its datagrams (ip(7)).
        if family == AF_INET6 {
            try SocketOption.set(Int32(IPPROTO_IPV6), IPV6_RECVERR, of: socket.number, to: Int32(1))
        } else {
            try SocketOption.set(Int32(IPPROTO_IP), IP_RECVERR, of: socket.number, to: Int32(1))
        }
    }

    /// - Throws: also what has become of others, of which `nextFailure` tells.
    mutating func send(_ datagram: Datagram, to destination: SocketAddress) throws(Errno) {
        apply(datagram)
        try datagram.content.withUnsafeBufferPointer { (content) throws(Errno) in
            try socket.send(UnsafeRawBufferPointer(content), to: destination)
        }
    }

    /// What a program says of its socket, or of one datagram, shows in the packet.
    private mutating func apply(_ datagram: Datagram) {
        if datagram.hops != hops {
            hops = datagram.hops
            let value = datagram.hops.map { Int32($0) } ?? -1
            if family == AF_INET6 {
                try? SocketOption.set(Int32(IPPROTO_IPV6), IPV6_UNICAST_HOPS, of: socket.number, to: value)
                try? SocketOption.set(Int32(IPPROTO_IPV6), IPV6_MULTICAST_HOPS, of: socket.number, to: value)
            } else {
                try? SocketOption.set(Int32(IPPROTO_IP), IP_TTL, of: socket.number, to: value)
                try? SocketOption.set(Int32(IPPROTO_IP), IP_MULTICAST_TTL, of: socket.number, to: value)
            }
        }
        if datagram.trafficClass != trafficClass {
            trafficClass = datagram.trafficClass
            let value = Int32(trafficClass)
            if family == AF_INET6 {
                try? SocketOption.set(Int32(IPPROTO_IPV6), IPV6_TCLASS, of: socket.number, to: value)
            } else {
                try? SocketOption.set(Int32(IPPROTO_IP), IP_TOS, of: socket.number, to: value)
            }
        }
    }

    /// What has become of a datagram; nil if there is nothing more to be told.
    borrowing func nextFailure() throws(Errno) -> DatagramFailure? {
        var content: UInt8 = 0
        return try withUnsafeMutableBytes(of: &content) { (buffer) throws(Errno) in
            // Those that are none of ICMP's are told by the call that fails, or are the kernel's to mend (the size of packets).
            while true {
                var failure: DatagramFailure?
                let received = try AncillaryMessage.receive(
                    over: socket.number, into: buffer, flags: Int32(MSG_ERRQUEUE)
                ) { level, type, content in
                    switch (level, type) {
                    case (Int32(IPPROTO_IP), IP_RECVERR), (Int32(IPPROTO_IPV6), IPV6_RECVERR):
                        failure = Self.failure(content)
                    default: break
                    }
                }
                guard let received else { return nil }
                guard var failure, let destination = received.name else { continue }
                failure.destination = destination
                return failure
            }
        }
    }

    private static func failure(_ content: UnsafeRawBufferPointer) -> DatagramFailure? {
        let size = MemoryLayout<sock_extended_err>.size
        guard content.count >= size else { return nil }
        let error = content.loadUnaligned(as: sock_extended_err.self)
        // SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6 (linux/errqueue.h).
        let (icmp, icmp6): (UInt8, UInt8) = (2, 3)
        guard error.ee_origin == icmp || error.ee_origin == icmp6, !isAboutSize(error, isIPv6: error.ee_origin == icmp6)
        else { return nil }
        // SO_EE_OFFENDER: behind it.
        let author = AncillaryMessage.address(UnsafeRawBufferPointer(rebasing: content[size...]))
        let nowhere = SocketAddress(host: .v4(0), port: 0)
        return DatagramFailure(
            destination: nowhere, type: error.ee_type, code: error.ee_code,
            author: author.flatMap { $0.isWildcard || $0.isLinkLocal ? nil : $0.host })
    }

    /// The kernel has learned of it, and divides the next: packets inside are of another size.
    private static func isAboutSize(_ error: sock_extended_err, isIPv6: Bool) -> Bool {
        let (unreachable, fragmentationNeeded, packetTooBig): (UInt8, UInt8, UInt8) = (3, 4, 2)
        return isIPv6
            ? error.ee_type == packetTooBig : error.ee_type == unreachable && error.ee_code == fragmentationNeeded
    }
}

extension DatagramFailure {
    /// What a router would say where this machine cannot send; nil for what no message of ICMP is about.
    init?(_ error: Errno, sendingTo destination: SocketAddress) {
        let isIPv6 = destination.family == AF_INET6
        let (type, code): (UInt8, UInt8)
        switch error {
        case .networkUnreachable: (type, code) = isIPv6 ? (1, 0) : (3, 0)
        case .noRouteToHost, .hostIsDown: (type, code) = isIPv6 ? (1, 3) : (3, 1)
        case .permissionDenied, .notPermitted: (type, code) = isIPv6 ? (1, 1) : (3, 13)
        case .connectionRefused: (type, code) = isIPv6 ? (1, 4) : (3, 3)
        default: return nil
        }
        self.init(destination: destination, type: type, code: code)
    }
}
