import Kernel
import SessionProtocol
import SystemPackage

extension LinkFailure {
    /// For people: what happened, and where it helps, what to do.
    var explanation: String {
        switch self {
        case .closed: "closed the connection"
        case .socket(let code): Errno(rawValue: code).description
        case .handshakeTimeout: "gave no answer"
        case .frame(.notUSL): "does not speak USL; is this the gateway's port?"
        case .frame(.otherVersion): "speaks another version of USL"
        case .frame(let error): "broke the protocol: \(error)"
        case .silent: "does not answer"
        case .unproven: "could not prove that it holds the session"
        case .staleEpoch: "has seen a newer link of the session"
        case .otherInstance: "is another gateway than the one that holds the session"
        case .security(.untrustedKey): "has another key than the one that is known"
        case .security(.notAdmitted): "does not admit the key of this end, which `usl identity` shows"
        case .security(.plainPeer): "speaks plain links, and this end TLS; give --plain at both ends or at neither"
        case .security(.handshake): "does not speak TLS as USL does"
        }
    }

    /// What an application sees that waited for this link.
    var errno: Errno {
        switch self {
        case .socket(let code): Errno(rawValue: code)
        case .handshakeTimeout: .timedOut
        case .closed, .frame, .silent, .unproven, .staleEpoch, .otherInstance, .security: .connectionRefused
        }
    }
}

extension Errno {
    /// What an application sees whose connection a gateway refused.
    init(_ code: RefusedMessage.Code) {
        switch code {
        case .connectionRefused, .notAllowed, .exhausted, .malformed, .identifierInUse, .failed:
            self = .connectionRefused
        case .networkUnreachable: self = .networkUnreachable
        case .hostUnreachable: self = .noRouteToHost
        case .timedOut: self = .timedOut
        }
    }
}

extension Ending {
    /// For people, where it is not what plain TCP would have done, and not told when it was decided here.
    var explanation: String? {
        switch self {
        case .finished, .abortedHere, .abortedByPeer, .refused, .dropped: nil
        case .gone(.dropped): "given up by hand at the gateway (usl drop); the connection is reset"
        case .gone(.ending): "the gateway was ended; the connection is reset"
        case .gone(.unknown): "the gateway no longer knows the session (was it restarted?); the connection is reset"
        case .gone(.expired), .expired: "no link for longer than the suspend limit; the connection is reset"
        case .gone(.exhausted): "the gateway gave the session up to stay inside its limits; the connection is reset"
        case .gone(let reason): "the gateway ended the session (\(reason)); the connection is reset"
        case .unconfirmed: "the opener did not confirm; the connection is reset"
        case .violation(let violation): "the gateway broke the protocol (\(violation)); the connection is reset"
        }
    }
}
