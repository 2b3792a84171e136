/// A server of ssh on one host, and port forwarding to it from another (`ssh -L`), with keys of their own.
public struct SecureShell: Sendable {
    private static let port: UInt16 = 2222
    private static let options = [
        "-F", "none", "-i", "/run/key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", "-o", "BatchMode=yes",
    ]

    private let client: Host
    private let address: String

    /// Starts the server.
    ///
    /// - Parameter address: where the client reaches it; by default, the server's own.
    public init(from client: Host, to server: Host, address: String? = nil) throws(LabError) {
        self.client = client
        self.address = address ?? server.address
        try client.succeed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/key"])
        let key = try client.succeed(["cat", "/run/key.pub"])
        try server.succeed(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/run/hostkey"])
        try server.succeed(["tee", "/run/authorized"], input: .bytes(Array(key.utf8)))
        _ = try server.start([
            "/usr/sbin/sshd", "-D", "-e", "-f", "/dev/null", "-p", "\(Self.port)", "-h", "/run/hostkey",
            "-o", "AuthorizedKeysFile=/run/authorized", "-o", "StrictModes=no", "-o", "UseDNS=no",
            "-o", "PermitRootLogin=yes", "-o", "PidFile=none",
        ])
        try server.waitForListener(port: Self.port)
    }

    /// Lets connections to a port of the client's loopback go on to a port of the server's.
    public func forward(_ port: UInt16, to target: UInt16) throws(LabError) -> LabProcess {
        let tunnel = try client.start(
            ["ssh", "-p", "\(Self.port)"] + Self.options + [
                "-N", "-L", "127.0.0.1:\(port):127.0.0.1:\(target)", "root@\(address)",
            ])
        try client.waitForListener(port: port)
        return tunnel
    }
}
