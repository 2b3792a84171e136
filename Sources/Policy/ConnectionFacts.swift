/// What is known of a connection that is about to be made, or of a datagram that is about to be sent.
public struct ConnectionFacts: Equatable, Sendable {
    public enum ConnectionProtocol: String, CaseIterable, Sendable {
        case tcp
        case udp
    }

    /// The program's executable with its path; its name alone where the path is not known.
    public var program: String
    public var userID: UInt32
    /// nil if it has none, or nobody asked: see ``Policy/Configuration/asksForUserNames``.
    public var userName: String?
    public var connectionProtocol: ConnectionProtocol
    public var destination: RuleAddress
    public var port: UInt16
    /// What is known to lead to the destination, such as what the program resolved.
    public var names: [String]
    /// Where the connection begins, if the program or the routing table says so.
    public var local: RuleAddress?

    public init(
        program: String, userID: UInt32, userName: String? = nil, _ connectionProtocol: ConnectionProtocol = .tcp,
        destination: RuleAddress, port: UInt16, names: [String] = [], local: RuleAddress? = nil
    ) {
        self.program = program
        self.userID = userID
        self.userName = userName
        self.connectionProtocol = connectionProtocol
        self.destination = destination
        self.port = port
        self.names = names
        self.local = local
    }

    /// The last part of the program's path.
    var programName: String { program.split(separator: "/").last.map(String.init) ?? program }
}
