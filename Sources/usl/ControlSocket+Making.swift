import CLinux
import Interception
import Keeper
import Kernel

extension ControlSocket {
    /// Makes the control socket of this process, which is a keeper.
    ///
    /// - Parameter variables: what programs need in their environment to ask there, by the socket's path.
    init(
        of role: RuntimeDirectory.Role, variables: (String) -> [String: String] = { _ in [:] }
    ) throws {
        let path = try RuntimeDirectory(environment: variable).socketPath(role: role, process: getpid())
        // A copy, since a struct's owner of another module cannot be taken apart.
        let listener = try ControlListener(path: path).descriptor.duplicate()
        self.init(listener: listener, path: path, environment: variables(path))
    }
}

/// The value of an environment variable.
func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
