/// What can happen to a session's links, ends and processes.
public enum Fault: String, Sendable, CaseIterable {
    /// Every link's connection is aborted, at the client's and at the server's kernel in turn.
    case reset
    /// Packets vanish: of one direction, or of both.
    case silenceOut = "silence-out"
    case silenceBack = "silence-back"
    case silence
    /// 5 % and 30 % of the packets of both directions vanish.
    case loss5 = "loss-5"
    case loss30 = "loss-30"
    case reordering
    /// The client's interface goes down, and comes up again.
    case interfaceDown = "interface-down"
    /// The client's address is taken away and, after the time given, it gets another.
    case addressChange = "address-change"
    /// The router that translates the client's address gives its connections other ports, another outer address, or
    /// forgets them without a word.
    case rebinding
    case outerAddress = "outer-address"
    case forgetting
    /// The path's rate falls to a hundredth.
    case rateFall = "rate-fall"
    /// Packets above 1,000 bytes vanish, and nobody is told.
    case largePackets = "large-packets"
    /// Processes die by SIGKILL.
    case agentKilled = "agent-killed"
    case gatewayKilled = "gateway-killed"
    case bothKilled = "both-killed"
    /// Processes are stopped, and continued after the time given.
    case agentStopped = "agent-stopped"
    case gatewayStopped = "gateway-stopped"
    /// A new program takes the place of the running one.
    case gatewayReplaced = "gateway-replaced"
    case agentReplaced = "agent-replaced"

    /// Whether it is over at once; the others last.
    public var isMomentary: Bool {
        switch self {
        case .reset, .rebinding, .outerAddress, .forgetting, .agentKilled, .gatewayKilled, .bothKilled,
            .gatewayReplaced, .agentReplaced:
            true
        default: false
        }
    }

    public var needsTranslation: Bool {
        switch self {
        case .rebinding, .outerAddress, .forgetting: true
        default: false
        }
    }
}
