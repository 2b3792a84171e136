import ArgumentParser
import Donation
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
            "How connections are got hold of: by a library in the program's processes, or by sockets that are donated to it, "
                + "which reaches static programs too.", valueName: "auto|preload|donate"))
    var intercept = Mode.auto

    /// Whether connections are got hold of by the library, and go past USL where that cannot be loaded.
    var usesLibrary: Bool {
        switch intercept {
        case .auto, .preload: true
        case .donate: false
        }
    }

    /// The best first.
    var interceptors: [Interceptor] {
        switch intercept {
        case .auto, .preload: [Interceptor(name: "preload", .environment)]
        case .donate: [Interceptor(name: "donate", .trap(.donation))]
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
