import Engine
import Interception
import Kernel
import SystemPackage

/// A question of the donor to the agent, and what has yet to come of it.
final class AgentQuestion {
    let connection: ControlConnection
    private let loop: EventLoop
    private var registration: Registration?

    /// Asks over a connection of its own; `handler` hears when there is an answer.
    init(
        at path: String, on loop: EventLoop, _ handler: any EventHandler,
        ask: (borrowing ControlConnection) throws(Errno) -> Void
    ) throws(Errno) {
        connection = try ControlConnection(path: path)
        self.loop = loop
        try ask(connection)
        registration = try loop.register(connection.descriptor.number, handler)
    }

    /// Nothing is heard of it any more.
    func drop() {
        if let registration { loop.deregister(registration) }
        registration = nil
    }
}
