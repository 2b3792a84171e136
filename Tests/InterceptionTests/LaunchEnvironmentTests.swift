import CLinux
import SystemPackage
import TestSupport
import Testing

@testable import Interception

@Suite struct LaunchEnvironmentTests {
    let temporary: TemporaryDirectory
    let library: String

    init() throws {
        temporary = try TemporaryDirectory()
        library = temporary.path + "/libusl.so"
        close(usl_open(library, O_CREAT | O_WRONLY, 0o600))
    }

    @Test func theLibraryComesFirstAndOnce() throws {
        let environment = try LaunchEnvironment(library: library)
        let applied = environment.applied(
            to: [
                "A=1", "LD_PRELOAD=/lib/a.so \(library):/lib/b.so", "USL_AGENT=/old", "USL_UDP_PORTS=7",
                "USL_TRANSPORT=x",
            ],
            agent: "/run/agent.sock", datagramPorts: [53...53], isMultipath: true, preloads: true)
        #expect(
            applied == [
                "A=1", "LD_PRELOAD=\(library):/lib/a.so:/lib/b.so", "USL_AGENT=/run/agent.sock", "USL_UDP_PORTS=53",
                "USL_TRANSPORT=mptcp",
            ])
        #expect(
            environment.applied(
                to: applied, agent: "/run/agent.sock", datagramPorts: [53...53], isMultipath: true, preloads: true)
                == applied)
    }

    @Test func anEmptyEnvironmentIsEnough() throws {
        let applied = try LaunchEnvironment(library: library).applied(
            to: [], agent: "/a", datagramPorts: [], isMultipath: false, preloads: true)
        #expect(applied == ["LD_PRELOAD=\(library)", "USL_AGENT=/a", "USL_UDP_PORTS=", "USL_TRANSPORT="])
    }

    @Test func aForeignProgramIsNotTold() throws {
        let environment = try LaunchEnvironment(library: library)
        func applied(_ before: [String]) -> [String] {
            environment.applied(to: before, agent: "/a", datagramPorts: [], isMultipath: false, preloads: false)
        }
        let rest = ["USL_AGENT=/a", "USL_UDP_PORTS=", "USL_TRANSPORT="]
        #expect(applied(["A=1"]) == ["A=1"] + rest)
        // From a `usl` around this one.
        #expect(applied(["LD_PRELOAD=\(library):/lib/a.so"]) == ["LD_PRELOAD=/lib/a.so"] + rest)
        #expect(applied(["LD_PRELOAD=\(library)"]) == ["LD_PRELOAD="] + rest)
    }

    @Test(
        arguments: [
            ([123...123, 53...53, 53...53], "53,123"), ([1...65_535, 53...53], "1-65535"),
            ([10...20, 15...18, 21...30, 40...50, 45...60], "10-30,40-60"), ([65_535...65_535], "65535"),
        ] as [([ClosedRange<UInt16>], String)])
    func eachPortIsListedOnce(ranges: [ClosedRange<UInt16>], text: String) throws {
        let applied = try LaunchEnvironment(library: library).applied(
            to: [], agent: "/a", datagramPorts: ranges, isMultipath: false, preloads: true)
        #expect(applied.contains("USL_UDP_PORTS=" + text))
    }

    @Test func aMissingLibraryIsNamed() {
        let error = #expect(throws: LaunchEnvironmentError.self) {
            _ = try LaunchEnvironment(library: "/nonexistent/x")
        }
        #expect(error?.description.contains("/nonexistent/x") == true)
    }

    @Test func aPathThatTheLoaderWouldSplitIsRefused() throws {
        let path = temporary.path + "/a b.so"
        close(usl_open(path, O_CREAT | O_WRONLY, 0o600))
        let error = #expect(throws: LaunchEnvironmentError.self) { _ = try LaunchEnvironment(library: path) }
        #expect(error?.description.contains("space or a colon") == true)
    }
}
