public import Interception

/// The names that an application's socket has for the application, whatever those of its leg are.
public struct SocketNames: Sendable {
    /// getpeername(2): what the application asked for.
    public let peer: AddressBytes
    /// getsockname(2): where it would be without USL; nil for what the kernel says.
    public let local: AddressBytes?

    public init(peer: AddressBytes, local: AddressBytes?) {
        self.peer = peer
        self.local = local
    }
}
