/// A way to get hold of a program's connections.
public struct Interceptor: Sendable {
    public enum Means: Sendable {
        /// The variables of `ControlSocket`, which load a library into each process.
        case environment
        case trap(Trap)
        /// None: the program connects as ever.
        case nothing
    }

    /// What `--intercept` calls it.
    public let name: String
    let means: Means

    public init(name: String, _ means: Means) {
        self.name = name
        self.means = means
    }
}
