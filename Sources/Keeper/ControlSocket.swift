public import Kernel

/// The agent's control socket, which the keeper owns so that it outlives the agent.
public struct ControlSocket: ~Copyable, Sendable {
    public let listener: Descriptor
    /// Removed when the last process that could be asked there has ended.
    public let path: String
    /// Variables of the program's environment, by name, that make it ask there.
    public let environment: [String: String]

    public init(listener: consuming Descriptor, path: String, environment: [String: String]) {
        self.listener = listener
        self.path = path
        self.environment = environment
    }
}
