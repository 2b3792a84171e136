public import Kernel
public import SystemPackage

/// The worker's end of its connection to the keeper. Never blocks: what does not fit, since the keeper is behind, is
/// reported as `wouldBlock`, and tried again when `descriptor` is writable. (An idle Unix socket takes 278 messages.)
///
/// The keeper has died when a call throws `brokenPipe` or `connectionReset`.
public struct EscrowChannel: ~Copyable, Sendable {
    /// Readable when the keeper says something or has died.
    public let descriptor: Descriptor

    public init(owning descriptor: consuming Descriptor) { self.descriptor = descriptor }

    /// Gives the keeper a copy of a descriptor. From the moment this returns, what the descriptor stands for survives
    /// this process, even if the keeper has not read the message yet.
    public borrowing func hold(_ key: EscrowKey, _ kind: EscrowKind, descriptor held: Int32) throws(Errno) {
        do {
            try DescriptorPassing.send(
                WorkerMessage.hold(key, kind).encoded(), passing: held, over: descriptor.number)
        } catch .tooManyReferences {
            // Descriptors in flight are limited by RLIMIT_NOFILE (unix(7)); the keeper is about to take some.
            throw .wouldBlock
        }
    }

    /// Asks the keeper to become the program that a memory file describes (`Replacement`). This process is then killed.
    public borrowing func requestReplacement(_ file: Int32) throws(Errno) {
        try DescriptorPassing.send(WorkerMessage.replace.encoded(), passing: file, over: descriptor.number)
    }

    /// Makes the keeper close its copy.
    public borrowing func release(_ key: EscrowKey) throws(Errno) {
        try send(.release(key))
    }

    /// Reports `WorkerReport.legs`.
    public borrowing func reportLegs(
        count: UInt32, undelivered: UInt64, destination: String
    ) throws(Errno) {
        try send(.report(.legs(count: count, undelivered: undelivered, destination: destination)))
    }

    /// Reports `WorkerReport.delivered`.
    public borrowing func reportDelivered(lost: UInt64) throws(Errno) {
        try send(.report(.delivered(lost: lost)))
    }

    /// Reports `WorkerReport.ready`.
    public borrowing func reportReady() throws(Errno) { try send(.report(.ready)) }

    private borrowing func send(_ message: WorkerMessage) throws(Errno) {
        try DescriptorPassing.send(message.encoded(), over: descriptor.number)
    }

    public enum Incoming: Equatable, Sendable {
        case nothing
        case message(KeeperMessage)
        /// The keeper has died.
        case end
    }

    /// What the keeper has said.
    public borrowing func receive() throws(Errno) -> Incoming {
        do {
            guard let received = try DescriptorPassing.receive(capacity: 16, over: descriptor.number) else {
                return .end
            }
            // The keeper is this same program: nothing else can arrive.
            guard let message = KeeperMessage(received.bytes) else { return .nothing }
            return .message(message)
        } catch .wouldBlock {
            return .nothing
        } catch .connectionReset {
            return .end
        }
    }
}
