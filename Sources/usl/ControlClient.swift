import CLinux
import Interception
import Kernel

/// Asks agents and gateways over their control sockets.
enum ControlClient {
    /// How long one may take to answer; one that is stopped or hangs must not hide the others.
    private static let patience = Duration.seconds(2)

    /// What it answers: an object with `sessions`; nil if there is no answer.
    static func ask(_ request: ControlRequest, of entry: RuntimeDirectory.Entry) -> JSONValue? {
        let deadline = ContinuousClock.now + patience
        guard let connection = try? ControlConnection(path: entry.path), (try? connection.request(request)) != nil
        else { return nil }
        var text: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let left = max(.zero, deadline - .now).components
            let milliseconds = Int32(left.seconds * 1000 + left.attoseconds / 1_000_000_000_000_000)
            var entry = pollfd(fd: connection.descriptor.number, events: Int16(POLLIN), revents: 0)
            guard let ready = try? retrying({ poll(&entry, 1, milliseconds) }), ready > 0,
                let count = try? retrying({ read(connection.descriptor.number, &chunk, chunk.count) })
            else { return nil }
            if count == 0 { return JSONValue(text) }
            text += chunk[..<count]
        }
    }
}
