import SessionProtocol
import SystemPackage
import Testing

@testable import Agent

@Suite("Explanations")
struct ExplanationsTests {
    @Test(
        "every failure of a link has words and an errno",
        arguments: [
            (.closed, .connectionRefused), (.socket(Errno.noRouteToHost.rawValue), .noRouteToHost),
            (.handshakeTimeout, .timedOut), (.frame(.notUSL), .connectionRefused),
            (.frame(.otherVersion), .connectionRefused), (.silent, .connectionRefused), (.unproven, .connectionRefused),
            (.staleEpoch, .connectionRefused), (.otherInstance, .connectionRefused),
        ] as [(LinkFailure, Errno)])
    func links(failure: LinkFailure, errno: Errno) {
        #expect(!failure.explanation.isEmpty && failure.errno == errno)
    }

    @Test("a refusal that plain TCP knows keeps its errno; any other is a refused connection")
    func refusals() {
        for code in (1...9).compactMap({ RefusedMessage.Code(rawValue: $0) }) {
            let expected: Errno =
                switch code {
                case .networkUnreachable: .networkUnreachable
                case .hostUnreachable: .noRouteToHost
                case .timedOut: .timedOut
                default: .connectionRefused
                }
            #expect(Errno(code) == expected)
        }
    }

    @Test("what plain TCP would have done as well needs no words")
    func endings() {
        for ending: Ending in [.finished, .abortedHere, .abortedByPeer, .dropped(.ending)] {
            #expect(ending.explanation == nil)
        }
        for ending: Ending in [
            .gone(.ending), .gone(.unknown), .gone(.expired), .gone(.exhausted), .gone(.violation), .expired,
            .unconfirmed, .violation(.beyondFin),
        ] {
            #expect(ending.explanation?.hasSuffix("the connection is reset") == true)
        }
    }
}
