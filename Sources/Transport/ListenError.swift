public import Kernel
public import SystemPackage

/// A listener that could not be opened.
public struct ListenError: Error, CustomStringConvertible, Sendable {
    public let address: SocketAddress
    public let code: Errno

    public var description: String {
        let reason =
            switch code {
            case .addressInUse: "the port is in use"
            case .addressNotAvailable: "this host has no such address"
            case .permissionDenied: "ports below 1024 need privilege"
            case .tooManyOpenFiles, .tooManyOpenFilesInSystem: "no descriptors left (see ulimit -n)"
            default: "\(code)"
            }
        return "cannot listen on \(address): \(reason)"
    }
}
