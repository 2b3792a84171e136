import Interception
import SessionHost

/// What is known of applications' sockets, by the cookie of the socket.
///
/// A socket may be used again, when its connection has been dissolved (connect(2) to `AF_UNSPEC`), while whoever had it before is
/// still about to end. So each only forgets what it has said itself.
struct KnownSockets {
    private var promises: [UInt64: (leg: ExpectedLeg, answer: ControlResponse, owner: ObjectIdentifier)] = [:]
    private(set) var socketNames: [UInt64: (names: SocketNames, owner: ObjectIdentifier)] = [:]

    // MARK: - Answers

    /// An application hears this that asks once more, since a predecessor has died before it answered.
    mutating func promise(_ answer: ControlResponse, to leg: ExpectedLeg, by owner: AnyObject) {
        promises[leg.cookie] = (leg, answer, ObjectIdentifier(owner))
    }

    mutating func forgetPromise(to cookie: UInt64, by owner: AnyObject) {
        if promises[cookie]?.owner == ObjectIdentifier(owner) { promises[cookie] = nil }
    }

    /// nil for one that asks for another destination, or that is not bound any more to where its leg was to come from.
    func promised(_ application: borrowing ApplicationSocket) -> ControlResponse? {
        guard let (leg, answer, _) = promises[application.cookie], leg.destination == application.destination,
            application.isBound(to: leg.source.port)
        else { return nil }
        return answer
    }

    // MARK: - Names

    /// What the application takes its socket for.
    mutating func remember(_ cookie: UInt64, _ names: SocketNames, by owner: AnyObject) {
        socketNames[cookie] = (names, ObjectIdentifier(owner))
    }

    mutating func forget(_ cookie: UInt64, by owner: AnyObject) {
        if socketNames[cookie]?.owner == ObjectIdentifier(owner) { socketNames[cookie] = nil }
    }

    func names(of cookie: UInt64) -> SocketNames? { socketNames[cookie]?.names }
}
