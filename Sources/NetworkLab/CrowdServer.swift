import CLinux
import Kernel
import SystemPackage

/// Sends back what it gets, on any number of connections, in one thread: the server of a crowd.
public enum CrowdServer {
    /// Serves until the program is ended.
    ///
    /// - Returns: the exit status.
    public static func run(port: UInt16) -> Int32 {
        DescriptorLimit.raise()
        do throws(TrafficError) {
            let listener = try TrafficPeer.listen(port)
            _ = usl_fcntl(listener.number, F_SETFL, usl_fcntl(listener.number, F_GETFL, 0) | O_NONBLOCK)
            let events = CrowdEvents()
            events.add(listener.number)
            TrafficPeer.say("serving")
            var room = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                events.wait(milliseconds: -1) { number in
                    number == listener.number ? accept(from: number, events) : echo(on: number, &room)
                }
            }
        } catch {
            TrafficPeer.say("failed 0 \(error.reason)")
            return 1
        }
    }

    private static func accept(from listener: Int32, _ events: borrowing CrowdEvents) {
        while true {
            let number = usl_accept(listener, Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue))
            guard number >= 0 else { return }
            events.add(number)
        }
    }

    /// What the socket does not take is waited for: a crowd's clients read what they have asked for.
    private static func echo(on number: Int32, _ room: inout [UInt8]) {
        while true {
            let count = recv(number, &room, room.count, 0)
            if count < 0 && (usl_errno() == EAGAIN || usl_errno() == EINTR) { return }
            guard count > 0 else {
                close(number)
                return
            }
            var sent = 0
            while sent < count {
                let written = room.withUnsafeBytes {
                    send(number, $0.baseAddress! + sent, count - sent, Int32(MSG_NOSIGNAL))
                }
                if written > 0 {
                    sent += written
                } else if usl_errno() == EAGAIN {
                    var entry = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
                    poll(&entry, 1, -1)
                } else {
                    break
                }
            }
        }
    }
}

/// Readable descriptors of many, edge by edge (epoll(7)).
struct CrowdEvents: ~Copyable {
    private static let capacity = 512
    private let descriptor = Descriptor(owning: epoll_create1(Int32(EPOLL_CLOEXEC)))

    func add(_ number: Int32) {
        var event = epoll_event()
        event.events = EPOLLIN.rawValue | EPOLLRDHUP.rawValue | EPOLLET.rawValue
        event.data.fd = number
        _ = epoll_ctl(descriptor.number, EPOLL_CTL_ADD, number, &event)
    }

    /// Calls `body` for each that is ready.
    func wait(milliseconds: Int32, _ body: (Int32) -> Void) {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: Self.capacity) { events in
            let count = epoll_wait(descriptor.number, events.baseAddress, Int32(events.count), milliseconds)
            for index in 0..<max(0, Int(count)) { body(events[index].data.fd) }
        }
    }
}
