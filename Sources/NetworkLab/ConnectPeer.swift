import CLinux
public import Kernel
import SystemPackage

/// Programs that make and take one connection after the other, unmodified applications both, to measure what a connection
/// costs.
public enum ConnectPeer {
    /// What one program has measured: medians, in nanoseconds.
    public struct Costs: Sendable {
        /// How long socket(2) took.
        public var socket: Int
        /// How long connect(2) took; of a socket that does not block, until it returned.
        public var call: Int
        /// From the beginning of connect(2) to the server's first byte.
        public var firstByte: Int

        /// As the program has printed it; nil if that is something else.
        public init?(_ output: String) {
            let words = output.split { $0.isWhitespace }
            guard words.count == 4, words[0] == "medians", let socket = Int(words[1]), let call = Int(words[2]),
                let firstByte = Int(words[3])
            else { return nil }
            (self.socket, self.call, self.firstByte) = (socket, call, firstByte)
        }
    }

    /// Gives each connection a byte and ends it, until the program is ended.
    public static func serve(port: UInt16) -> Int32 {
        do throws(TrafficError) {
            let listener = try TrafficPeer.listen(port)
            TrafficPeer.say("serving")
            while true {
                let number = usl_accept(listener.number, Int32(SOCK_CLOEXEC.rawValue))
                guard number >= 0 else { continue }
                // In one packet with the end, so that it does not depend on chance how often the other side acknowledges.
                send(number, "1", 1, Int32(MSG_NOSIGNAL) | Int32(MSG_MORE))
                close(number)
            }
        } catch {
            TrafficPeer.say("failed 0 \(error.reason)")
            return 1
        }
    }

    /// Connects, reads a byte and closes, again and again.
    ///
    /// - Parameter blocks: whether the sockets do.
    /// - Returns: the exit status.
    public static func run(to target: SocketAddress, count: Int, blocks: Bool) -> Int32 {
        var all: [Connection] = []
        do throws(Errno) {
            for _ in 0..<count {
                all.append(try connect(to: target, blocks: blocks))
            }
            let medians = [\Connection.socket, \.call, \.firstByte].map { part in
                "\(all.map { $0[keyPath: part] }.sorted()[count / 2])"
            }
            TrafficPeer.say("medians \(medians.joined(separator: " "))")
            return 0
        } catch {
            TrafficPeer.say("failed after \(all.count): \(error)")
            return 1
        }
    }

    /// What one has taken, in nanoseconds.
    private struct Connection {
        var socket: Int
        var call: Int
        var firstByte: Int
    }

    private static func connect(to target: SocketAddress, blocks: Bool) throws(Errno) -> Connection {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | (blocks ? 0 : SOCK_NONBLOCK.rawValue))
        let before = labNow()
        let made = Descriptor(owning: try check(socket(target.family, type, 0)))
        let number = made.number
        let begin = labNow()
        // By the library, so that a preloaded one has its say.
        let result = target.withSockaddr { CLinux.connect(number, __CONST_SOCKADDR_ARG(__sockaddr__: $0), $1) }
        let call = labNow() - begin
        if result != 0, blocks || usl_errno() != EINPROGRESS { throw Errno(rawValue: usl_errno()) }
        var byte: UInt8 = 0
        while recv(number, &byte, 1, 0) != 1 {
            guard !blocks, usl_errno() == EAGAIN else { throw Errno(rawValue: usl_errno()) }
            var entry = pollfd(fd: number, events: Int16(POLLIN), revents: 0)
            poll(&entry, 1, 10_000)
        }
        return Connection(socket: Int(begin - before), call: Int(call), firstByte: Int(labNow() - begin))
    }
}
