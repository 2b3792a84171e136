import CLinux
import Kernel
public import SystemPackage

/// What a program needs in its environment so that its connections are intercepted.
public struct LaunchEnvironment: Sendable {
    /// The preload library.
    public let library: String

    /// Finds the preload library of this installation: `../lib/usl/libusl.so` from the directory of the executable.
    public init() throws(LaunchEnvironmentError) {
        guard let executable = linkTarget("/proc/self/exe") else { throw .noProc }
        let bin = executable[..<(executable.lastIndex(of: "/") ?? executable.startIndex)]
        let prefix = bin[..<(bin.lastIndex(of: "/") ?? bin.startIndex)]
        try self.init(library: prefix + "/lib/usl/libusl.so")
    }

    init(library: String) throws(LaunchEnvironmentError) {
        guard access(library, R_OK) == 0 else {
            throw .libraryMissing(path: library, code: Errno(rawValue: usl_errno()))
        }
        guard !library.contains(where: Self.separates) else { throw .unusablePath(library) }
        self.library = library
    }

    /// `environment`, entries `NAME=VALUE`, with the library first in `LD_PRELOAD`, `USL_AGENT` set, and `USL_UDP_PORTS` and
    /// `USL_TRANSPORT` too.
    ///
    /// - Parameters:
    ///   - agent: the path of the agent's control socket.
    ///   - datagramPorts: UDP ports of which datagrams concern USL.
    ///   - isMultipath: whether the program's own sockets are to be of Multipath TCP. Rules cannot say so: a program makes its
    ///     socket before it says what for.
    ///   - preloads: whether the library is to be loaded. If not, `LD_PRELOAD` is what it was.
    public func applied(
        to environment: [String], agent: String, datagramPorts: [ClosedRange<UInt16>], isMultipath: Bool, preloads: Bool
    ) -> [String] {
        let others = environment.last { $0.hasPrefix("LD_PRELOAD=") }?.dropFirst("LD_PRELOAD=".count)
        let libraries =
            (preloads ? [library] : [])
            + (others ?? "").split(whereSeparator: Self.separates).map(String.init).filter { $0 != library }
        let preloaded = preloads || others != nil ? ["LD_PRELOAD=" + libraries.joined(separator: ":")] : []
        let rest = environment.filter { entry in
            !["LD_PRELOAD=", "USL_AGENT=", "USL_UDP_PORTS=", "USL_TRANSPORT="].contains { entry.hasPrefix($0) }
        }
        let ports = Self.merged(datagramPorts).map {
            $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)"
        }
        return rest + preloaded + [
            "USL_AGENT=" + agent,
            "USL_UDP_PORTS=" + ports.joined(separator: ","), "USL_TRANSPORT=" + (isMultipath ? "mptcp" : ""),
        ]
    }

    /// Each port once, in order.
    private static func merged(_ ranges: [ClosedRange<UInt16>]) -> [ClosedRange<UInt16>] {
        ranges.sorted { $0.lowerBound < $1.lowerBound }.reduce(into: []) { merged, range in
            if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
    }

    /// Both separate libraries in `LD_PRELOAD`, and neither can be escaped (ld.so(8)).
    private static func separates(_ character: Character) -> Bool { character == ":" || character == " " }
}

/// Why programs cannot be intercepted from this installation.
public enum LaunchEnvironmentError: Error, CustomStringConvertible, Sendable {
    case noProc
    case libraryMissing(path: String, code: Errno)
    case unusablePath(String)

    public var description: String {
        switch self {
        case .noProc: "cannot read /proc/self/exe; is /proc mounted?"
        case .libraryMissing(let path, let code): "cannot read the preload library \(path): \(code.description)"
        case .unusablePath(let path): "LD_PRELOAD cannot hold '\(path)': its path has a space or a colon"
        }
    }
}
