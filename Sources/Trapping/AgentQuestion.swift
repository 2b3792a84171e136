public import Engine
public import Interception
import Kernel
public import SessionProtocol
public import SystemPackage

/// A question of a supervisor to the agent, and what has yet to come of it.
public final class AgentQuestion {
    /// How soon an agent is asked again that has died, or whose backlog is full.
    public static let retry = Interval.milliseconds(20)

    public let connection: ControlConnection
    private let loop: EventLoop
    private var registration: Registration?

    /// Asks over a connection of its own; `handler` hears when there is an answer.
    public init(
        at path: String, on loop: EventLoop, _ handler: any EventHandler,
        ask: (borrowing ControlConnection) throws(Errno) -> Void
    ) throws(Errno) {
        connection = try ControlConnection(path: path)
        self.loop = loop
        try ask(connection)
        registration = try loop.register(connection.descriptor.number, handler)
    }

    /// Nothing is heard of it any more.
    public func drop() {
        if let registration { loop.deregister(registration) }
        registration = nil
    }
}
