public import SystemPackage

/// What became of one non-blocking read or write.
public enum TransferResult: Equatable, Sendable {
    /// So many bytes were moved; at least one.
    case bytes(Int)
    /// Nothing can be moved now; an edge-triggered event will tell.
    case wouldBlock
    /// Reads only: the peer sent its FIN, and everything before it has been read.
    case endOfStream
    /// The connection is broken.
    case failed(Errno)
}
