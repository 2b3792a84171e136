import ArgumentParser
import Donation
import Interception
import Keeper
import SystemPackage

/// How connections of a program are got hold of.
struct InterceptionOptions: ParsableArguments {
    enum Mode: String, CaseIterable, ExpressibleByArgument {
        case auto
        case preload
        case donate
    }

    @Option(
        help: ArgumentHelp(
            "How connections are got hold of: by a library in the program's processes, by sockets that are donated to it, which "
                + "reaches static programs too, or as its file asks for.", valueName: "auto|preload|donate"))
    var intercept = Mode.auto

    /// The best first.
    ///
    /// - Parameter program: nil if nothing is known of it.
    func interceptors(for program: ProgramFile?) -> [Interceptor] {
        let (preload, donate) = (
            Interceptor(name: "preload", .environment), Interceptor(name: "donate", .trap(.donation))
        )
        switch intercept {
        case .preload: return [preload]
        case .donate: return [donate]
        case .auto: return program?.needsDonation == true ? [donate, preload] : [preload]
        }
    }

    /// What is to be said of the choice, to users who want to know everything.
    func explanation(_ name: String, _ program: ProgramFile?) -> String {
        switch intercept {
        case .preload, .donate: "\(name): intercepted by \(intercept.rawValue), as asked for"
        case .auto:
            program?.needsDonation == true
                ? "\(name): intercepted by donate, as \(program?.peculiarity ?? "its file asks for it")"
                : "\(name): intercepted by preload"
        }
    }
}

extension Trap {
    /// Sockets of a private namespace.
    static var donation: Trap {
        Trap(
            install: { () throws(Errno) in try SocketTrap.install(SocketTrap.donation) },
            supervise: { Donor.run($0, askingAt: $1) })
    }
}
