public import Interception
public import Kernel

/// What an agent does with connections that come at listeners of its own.
public enum ListeningPort: Sendable {
    /// Those of `usl forward`: each goes to one target.
    case forward(to: SocketAddress)
    /// Those of `usl agent --socks`: each says where it wants to go.
    case socks(ProxyUsers?)
}
