import Interception
import SessionProtocol
import SystemPackage
import Transport

extension ProxyFailure {
    init(_ failure: AwaitedSession.Failure) {
        switch failure {
        case .refused(let refusal): self.init(refusal.code)
        case .unreachable(let failure): self.init(unreachable: failure)
        case .impossible(let error): self = (error as? Errno).map { ProxyFailure($0) } ?? .general
        }
    }

    /// What a client hears whose gateway could not be reached, as its last link has failed.
    init(unreachable failure: LinkFailure?) {
        switch failure {
        case .handshakeTimeout, .silent, nil: self = .timedOut
        case .socket(let code) where code == Errno.timedOut.rawValue: self = .timedOut
        case .closed, .socket, .frame, .unproven, .staleEpoch, .otherInstance, .security: self = .hostUnreachable
        }
    }

    /// What a gateway refused a session with.
    init(_ code: RefusedMessage.Code) {
        switch code {
        case .connectionRefused: self = .refused
        case .networkUnreachable: self = .networkUnreachable
        case .hostUnreachable: self = .hostUnreachable
        case .timedOut: self = .timedOut
        case .notAllowed: self = .notAllowed
        case .exhausted, .malformed, .identifierInUse, .failed: self = .general
        }
    }
}
