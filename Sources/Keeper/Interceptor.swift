/// A way to get hold of a program's connections.
public struct Interceptor: Sendable {
    public enum Means: Sendable {
        /// The variables of `ControlSocket`, which load a library into each process.
        case environment
        case trap(Trap)
    }

    /// What `--intercept` calls it.
    public let name: String
    let means: Means

    /// Whether it is a library in the program's processes.
    public var loadsLibrary: Bool {
        if case .environment = means { true } else { false }
    }

    public init(name: String, _ means: Means) {
        self.name = name
        self.means = means
    }
}
