import CLinux
import Interception
import Kernel
import Policy

/// Who asks for a connection.
struct Applicant {
    /// The program's executable with its path, or what else is known of its name; nil if it is gone.
    let program: String?
    let user: uid_t
    /// The address that it has bound its socket to.
    var local: SocketAddress.Host?

    init(_ peer: ControlConnection.Peer, local: SocketAddress.Host?) {
        self.init(process: peer.process, user: peer.user, local: local)
    }

    /// - Parameter process: as this process knows it.
    init(process: pid_t, user: uid_t, local: SocketAddress.Host?) {
        program = ProgramName.path(pid: process)
        self.user = user
        self.local = local
    }

    /// The connections of `usl forward`, which does not know who asks.
    static var forward: Applicant { Applicant(program: Applicant.forwardName, user: geteuid()) }
    static let forwardName = "forward"

    /// Likewise, of the SOCKS port.
    static var socks: Applicant { Applicant(program: Applicant.socksName, user: geteuid()) }
    static let socksName = "socks"

    init(program: String?, user: uid_t) {
        self.program = program
        self.user = user
    }

    /// For people.
    var name: String { program?.split(separator: "/").last.map(String.init) ?? "?" }

    /// What rules ask for.
    func facts(_ destination: SocketAddress, names: [String], userName: String?, local: SocketAddress.Host?)
        -> ConnectionFacts
    {
        ConnectionFacts(
            program: program ?? "?", userID: user, userName: userName, destination: RuleAddress(destination.host),
            port: destination.port, names: names, local: local.map { RuleAddress($0) })
    }
}

/// The names of users, each asked for once: the system's answer may take its time (nsswitch.conf(5)).
struct UserNames {
    private var names: [uid_t: String?] = [:]

    mutating func name(of user: uid_t) -> String? {
        if let known = names[user] { return known }
        let name = getpwuid(user).map { String(cString: $0.pointee.pw_name) }
        names[user] = .some(name)
        return name
    }
}
