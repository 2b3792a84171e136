import ArgumentParser
import CLinux
import Donation
import Interception
import Keeper
import SystemPackage
import Trapping

/// How connections of a program are got hold of.
struct InterceptionOptions: ParsableArguments {
    enum Mode: String, CaseIterable, ExpressibleByArgument {
        case auto
        case preload
        case donate
        case seccomp
    }

    @Option(
        help: ArgumentHelp(
            "How connections are got hold of: by a library in the program's processes (preload), by sockets that are donated to it "
                + "(donate), by having its connections made for it (seccomp), both of which reach static programs too; or as its "
                + "file asks for (auto).",
            valueName: "auto|preload|donate|seccomp"))
    var intercept = Mode.auto

    @Flag(
        help: ArgumentHelp(
            "Donate sockets of UDP too, so that requests of listed protocols go on other paths where one is silent: each datagram "
                + "passes through USL. With --intercept donate."))
    var donateUdp = false

    func validate() throws {
        if donateUdp, intercept != .donate { throw ValidationError("--donate-udp needs --intercept donate") }
    }

    /// The trap of another usl that has this program's connections whatever is done here, as nobody has asked for another one.
    var surrounding: String? {
        switch intercept {
        case .auto, .preload: getenv(Trap.variable).map { String(cString: $0) }
        case .donate, .seccomp: nil
        }
    }

    /// The best first.
    ///
    /// - Parameters:
    ///   - program: nil if nothing is known of it.
    ///   - datagramPorts: UDP ports of which datagrams concern USL.
    func interceptors(for program: ProgramFile?, datagramPorts: [ClosedRange<UInt16>]) -> [Interceptor] {
        let preload = Interceptor(name: "preload", .environment)
        let donate = Interceptor(
            name: "donate", .trap(.donation(datagramPorts: donateUdp ? datagramPorts : nil)))
        let seccomp = Interceptor(name: "seccomp", .trap(.connecting))
        switch intercept {
        case .preload: return [preload]
        case .donate: return [donate]
        case .seccomp: return [seccomp]
        case .auto:
            return wantsTrap(program) ? [donate, seccomp, preload] : [preload]
        }
    }

    private func wantsTrap(_ program: ProgramFile?) -> Bool { program?.needsDonation == true && surrounding == nil }

    /// What is to be said of the choice, to users who want to know everything.
    func explanation(_ name: String, _ program: ProgramFile?) -> String {
        switch intercept {
        case .preload, .donate, .seccomp: "\(name): intercepted by \(intercept.rawValue), as asked for"
        case .auto:
            wantsTrap(program)
                ? "\(name): intercepted by donate, as \(program?.peculiarity ?? "its file asks for it")"
                : "\(name): intercepted by preload"
        }
    }
}

extension Trap {
    /// Sockets of a private namespace.
    ///
    /// - Parameter datagramPorts: nil: of TCP alone.
    static func donation(datagramPorts: [ClosedRange<UInt16>]?) -> Trap {
        Trap(
            name: "usl-donor",
            install: { () throws(Errno) in
                try CallFilter.install(SocketTrap.donation(withDatagrams: datagramPorts != nil))
            },
            supervise: { Donor.run($0, askingAt: $1, datagramPorts: datagramPorts) })
    }

    /// The program's own sockets.
    static var connecting: Trap {
        Trap(
            name: "usl-connector", install: { () throws(Errno) in try CallFilter.install(ConnectTrap.filter) },
            supervise: { ConnectSupervisor.run($0, askingAt: $1) })
    }
}
