// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target: Swift 6 language mode comes with the tools version; nothing unsafe is implied.
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny")
]

/// Embedded Swift: no runtime, no metadata, whole module at once.
let embedded: [SwiftSetting] =
    strict + [
        .enableExperimentalFeature("Embedded"),
        .unsafeFlags(["-wmo", "-Osize"]),
    ]

/// The protocol core and its simulation: optimised for tests too, which run ten thousand schedules. The lab as well, whose
/// paths carry a hundred thousand packets a second.
let optimised: [SwiftSetting] = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

let package = Package(
    name: "usl",
    products: [
        .executable(name: "usl", targets: ["usl"]),
        // Executable and library products must differ in name; `make build` names this one libusl.so.
        .library(name: "uslpreload", type: .dynamic, targets: ["Interposer"]),
        .executable(name: "usl-simulate", targets: ["SimulateCommand"]),
        .executable(name: "usl-lab", targets: ["LabCommand"]),
        .executable(name: "usl-hotpaths", targets: ["HotPaths"]),
        .executable(name: "usl-bench", targets: ["Bench"]),
        .library(name: "SessionProtocol", targets: ["SessionProtocol"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.3.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.5.0"),
    ],
    targets: [
        // The kernel's interface, as far as Swift cannot import it by itself.
        .target(name: "CLinux"),
        .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),

        // Descriptors, addresses, children: what every module that talks to the kernel needs.
        .target(
            name: "Kernel",
            dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: strict),

        // The protocol: no imports, built a second time as Embedded Swift to prove it.
        .target(name: "SessionProtocol", swiftSettings: optimised),
        .target(name: "SessionProtocolEmbedded", swiftSettings: embedded),
        .target(name: "Rendezvous", swiftSettings: strict),
        // Reads no file itself: text in, limits out.
        .target(name: "Policy", swiftSettings: strict),

        .target(
            name: "Transport", dependencies: ["Kernel", "COpenSSL", "SessionProtocol"], swiftSettings: strict),
        // Whose keys are whose: this end's identity, the gateways that a user knows, the clients that a gateway serves.
        .target(name: "Trust", dependencies: ["Kernel", "Transport"], swiftSettings: strict),
        .target(
            name: "Engine",
            dependencies: [
                "SessionProtocol", "Transport", "Keeper", "Kernel",
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict),
        .target(name: "Keeper", dependencies: ["Kernel"], swiftSettings: strict),
        .target(name: "Interception", dependencies: ["Kernel", "Keeper"], swiftSettings: strict),
        // System calls of programs that no library can be loaded into: connect(2) on their own sockets …
        .target(name: "Trapping", dependencies: ["Engine", "Interception", "Keeper", "Kernel"], swiftSettings: strict),
        // … or sockets of a private namespace.
        .target(
            name: "Donation", dependencies: ["Engine", "Interception", "Keeper", "Kernel", "Trapping"],
            swiftSettings: strict),
        // What agent and gateway share: loops full of sessions, escrow, ledger, and the control socket's status.
        .target(
            name: "SessionHost",
            dependencies: [
                "Engine", "Interception", "Keeper", "Kernel", "Policy",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            swiftSettings: strict),
        .target(
            name: "Agent",
            dependencies: [
                "SessionHost", "Engine", "Interception", "Keeper", "Policy", "Rendezvous", "Trust",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "Gateway",
            dependencies: [
                "SessionHost", "Engine", "Interception", "Keeper", "Policy", "Rendezvous", "Trust",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "usl",
            dependencies: [
                "Agent", "Donation", "Gateway", "NetworkLab", "Policy", "SessionHost", "Trapping", "Trust",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        // The preload library: Embedded Swift, libc alone.
        .target(
            name: "Interposer",
            dependencies: ["CLinux"],
            exclude: ["exports.map"],
            // Its variables are written by its constructor alone, and each look at one would be a call.
            swiftSettings: embedded + [.unsafeFlags(["-enforce-exclusivity=unchecked"])],
            linkerSettings: [
                .unsafeFlags(["-Xlinker", "--version-script=Sources/Interposer/exports.map"])
            ]),

        .target(name: "Simulation", dependencies: ["SessionProtocol"], swiftSettings: optimised),
        .executableTarget(
            name: "SimulateCommand",
            dependencies: ["Simulation", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),
        .target(name: "NetworkLab", dependencies: ["Kernel", "COpenSSL"], swiftSettings: optimised),
        .executableTarget(
            name: "LabCommand",
            dependencies: ["NetworkLab", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict),

        // What callgrind counts, for scripts/hot-paths.
        .executableTarget(
            name: "HotPaths", dependencies: ["Engine", "SessionProtocol"], path: "Benchmarks/HotPaths",
            swiftSettings: strict),
        // USL beside its peers.
        .executableTarget(
            name: "Bench",
            dependencies: [
                "NetworkLab", "Kernel", .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            path: "Benchmarks/Bench", swiftSettings: optimised),
        // What tests of several targets use.
        .target(name: "TestSupport", dependencies: ["Kernel"], path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(name: "KernelTests", dependencies: ["Kernel", "TestSupport"]),
        .testTarget(name: "SessionProtocolTests", dependencies: ["SessionProtocol"]),
        .testTarget(name: "SimulationTests", dependencies: ["Simulation"]),
        .testTarget(name: "RendezvousTests", dependencies: ["Rendezvous", "SessionProtocol"]),
        .testTarget(name: "PolicyTests", dependencies: ["Policy", "Kernel"]),
        .testTarget(name: "TransportTests", dependencies: ["Transport"]),
        .testTarget(name: "TrustTests", dependencies: ["Trust", "TestSupport"]),
        .testTarget(name: "EngineTests", dependencies: ["Engine"]),
        .testTarget(name: "KeeperTests", dependencies: ["Keeper"]),
        .testTarget(name: "InterceptionTests", dependencies: ["Interception", "TestSupport"]),
        .testTarget(name: "DonationTests", dependencies: ["Donation", "TestSupport"]),
        .testTarget(name: "TrappingTests", dependencies: ["TestSupport", "Trapping"]),
        .testTarget(name: "SessionHostTests", dependencies: ["SessionHost", "TestSupport"]),
        .testTarget(name: "AgentTests", dependencies: ["Agent", "TestSupport"]),
        .testTarget(
            name: "GatewayTests",
            dependencies: ["Gateway", "TestSupport", .product(name: "InMemoryLogging", package: "swift-log")]),
        .testTarget(name: "NetworkLabTests", dependencies: ["NetworkLab", "LabCommand"]),
        .testTarget(name: "BenchTests", dependencies: ["Bench"]),
        .testTarget(name: "CommandLineTests", dependencies: ["usl", "Kernel"]),
        // Real programs under real attacks; runs what `make build` made.
        .testTarget(name: "EndToEndTests", dependencies: ["NetworkLab", "LabCommand", "Bench", "TestSupport"]),
    ]
)

// CLinux wants glibc's GNU declarations; Clang refuses headers that another module (SwiftGlibc, CSystem) was built from
// with other feature macros, so every Swift target sees the same ones. SessionProtocol imports nothing, and as a product
// may not have unsafe flags.
for target in package.targets where target.type != .system && target.name != "SessionProtocol" {
    target.swiftSettings = (target.swiftSettings ?? []) + [.unsafeFlags(["-Xcc", "-D_GNU_SOURCE"])]
}
