import SessionProtocol

typealias ConnectionID = Int

/// A transport connection between the opener's machine, or an attacker's, and the gateway's, or an impostor's.
struct Connection {
    enum Dialler: Equatable { case opener(LinkNumber), attacker }
    enum Listener { case gateway, impostor }

    let dialler: Dialler
    let listener: Listener
    /// Index of the path that it takes.
    let path: Int
    let startedAt: Instant
    /// By the role of the writer.
    var pipes: [Pipe]
    /// By role: that end has not been closed by its owner.
    var isOpen = [true, true]
    /// By the role of the reader: bytes that wait in its kernel, since its process does not run.
    var unread = [0, 0]
    /// The impostor at its end has said its piece.
    var isAnswered = false
    /// A fault has hit it; both ends will learn so.
    var isCut = false

    init(_ dialler: Dialler, _ listener: Listener, path: Int, _ now: Instant) {
        self.dialler = dialler
        self.listener = listener
        self.path = path
        startedAt = now
        pipes = [Pipe(now), Pipe(now)]
    }
}

extension Role {
    var index: Int { Int(rawValue) }
    var other: Role { self == .opener ? .acceptor : .opener }
}
