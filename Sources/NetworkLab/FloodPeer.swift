import CLinux
import COpenSSL
public import Kernel
import SystemPackage

/// A host that takes from a gateway what it gives to strangers: connections from many addresses that say nothing, a part of
/// something, or nothing true, and are kept for as long as the gateway and this program's descriptors allow.
public enum FloodPeer {
    /// Connections that each thread keeps. Beyond that, its oldest is closed.
    private static let kept = 1000
    private static let threads = 6

    /// What is said, in turn: nothing; a part of the preface; a part of an OPEN; another protocol; garbage behind the preface;
    /// an ATTACH of a session that nobody knows; a whole ClientHello, whose answer costs the gateway a key exchange and is
    /// not answered; a part of one.
    private static let greetings: [[UInt8]] = {
        let preface = Array("USL/1\r\n\0".utf8)
        func frame(_ type: UInt8, _ length: UInt8) -> [UInt8] {
            [type, 0, 0, 0, 0, 0, 0, length] + [UInt8](repeating: 0, count: 16)
        }
        return [
            [], Array(preface.prefix(5)), preface + frame(1, 120).prefix(20), Array("GET / HTTP/1.0\r\n\r\n".utf8),
            preface + [UInt8](repeating: 0xaa, count: 48), preface + frame(4, 92) + [UInt8](repeating: 0, count: 92),
            clientHello, Array(clientHello.prefix(100)),
        ]
    }()

    /// The first flight of TLS 1.3, for USL.
    private static let clientHello: [UInt8] = {
        guard let context = SSL_CTX_new(TLS_client_method()) else { return [] }
        defer { SSL_CTX_free(context) }
        guard let connection = SSL_new(context) else { return [] }
        defer { SSL_free(connection) }
        let application = Array("\u{5}usl/1".utf8)
        SSL_set_alpn_protos(connection, application, UInt32(application.count))
        SSL_set_bio(connection, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()))
        SSL_connect(connection)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = BIO_read(SSL_get_wbio(connection), &bytes, Int32(bytes.count))
        return Array(bytes.prefix(Int(max(0, count))))
    }()

    /// Makes connections, and says how many there were.
    ///
    /// - Parameters:
    ///   - first: the first of the IPv4 source addresses, which follow each other and are this host's.
    ///   - limit: no connection is begun after that.
    /// - Returns: the exit status.
    public static func run(
        to target: SocketAddress, from first: UInt32, addresses: UInt32, count: Int, within limit: Duration
    ) -> Int32 {
        DescriptorLimit.raise()
        let end = ContinuousClock.now + limit
        TrafficPeer.say("flooding")
        let workers = (0..<threads).map { number in
            LabThread.start { () -> Bool in
                var connections = [Int32](repeating: -1, count: kept)
                var made = 0
                for index in stride(from: number, to: count, by: threads) where ContinuousClock.now < end {
                    let host = first + UInt32(index / threads) % addresses
                    guard let connection = try? connect(to: target, from: SocketAddress(host: .v4(host), port: 0))
                    else { continue }
                    let greeting = greetings[index / threads % greetings.count]
                    _ = send(connection, greeting, greeting.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
                    close(connections[made % kept])
                    connections[made % kept] = connection
                    made += 1
                }
                TrafficPeer.say("made \(made)")
                return true
            }
        }
        for worker in workers { worker.join() }
        return 0
    }

    /// Blocks until the kernel of the target has the connection, at most a second: one whose queue is full makes this one ask
    /// again.
    private static func connect(to target: SocketAddress, from source: SocketAddress) throws(Errno) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        let number = try check(socket(AF_INET, type, 0))
        do throws(Errno) {
            var (patience, on) = (timeval(tv_sec: 1, tv_usec: 0), Int32(1))
            try check(
                setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size)))
            try check(
                setsockopt(
                    number, Int32(IPPROTO_IP), IP_BIND_ADDRESS_NO_PORT, &on, socklen_t(MemoryLayout<Int32>.size)))
            try check(source.withSockaddr { usl_bind(number, $0, $1) })
            try check(target.withSockaddr { usl_connect(number, $0, $1) })
            return number
        } catch {
            close(number)
            throw error
        }
    }
}
