import CLinux

/// A program of the system that the lab uses, and the Debian package that has it.
public struct Tool: Sendable, Hashable {
    public let name: String
    public let package: String

    public static let ip = Tool(name: "ip", package: "iproute2")
    public static let tc = Tool(name: "tc", package: "iproute2")
    public static let ss = Tool(name: "ss", package: "iproute2")
    public static let nft = Tool(name: "nft", package: "nftables")
    public static let conntrack = Tool(name: "conntrack", package: "conntrack")
    public static let tcpkill = Tool(name: "tcpkill", package: "dsniff")
    public static let nsenter = Tool(name: "nsenter", package: "util-linux")
    public static let unshare = Tool(name: "unshare", package: "util-linux")

    public init(name: String, package: String) {
        self.name = name
        self.package = package
    }

    /// Where programs are looked for. An ordinary user's `PATH` on Debian lacks the `sbin` folders.
    static let searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    /// The full path of the program, if it is installed.
    public var path: String? {
        for folder in Self.searchPath.split(separator: ":") {
            let candidate = "\(folder)/\(name)"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        return nil
    }

    /// The full path of the program.
    public func located() throws(LabError) -> String {
        guard let path else { throw .missingTool(self) }
        return path
    }
}
