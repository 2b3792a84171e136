import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

/// The preload library as a guest in any program.
@Suite struct PreloadLibraryTests {
    @Test func itExportsItsHooksAndNothingElse() throws {
        let symbols = try Program(["nm", "-D", "--defined-only", preloadLibrary()], agent: nil).finish()
        let names = symbols.compactMap { $0.split(separator: " ").last.map(String.init) }
        #expect(
            names.sorted() == [
                "__recvfrom_chk", "accept", "accept4", "connect", "getaddrinfo", "gethostbyname", "gethostbyname2",
                "gethostbyname2_r",
                "gethostbyname_r", "getpeername", "getsockname", "listen", "recvfrom", "recvmmsg", "recvmsg",
                "sendmmsg",
                "sendmsg",
                "sendto", "socket",
            ])
    }

    @Test func itNeedsLibcAlone() throws {
        let lines = try Program(["readelf", "-dW", preloadLibrary()], agent: nil).finish()
        let needed = lines.filter { $0.contains("(NEEDED)") }
        #expect(needed.count == 1 && needed[0].contains("[libc.so.6]"))
    }

    /// What the loader maps; the file may also hold what a debugger reads.
    @Test func itIsSmall() throws {
        let lines = try Program(["readelf", "-lW", preloadLibrary()], agent: nil).finish()
        let sizes = lines.map { $0.split(separator: " ") }.filter { $0.first == "LOAD" }.compactMap { fields in
            Int(fields[5].dropFirst(2), radix: 16)
        }
        #expect(!sizes.isEmpty && sizes.reduce(0, +) < 100_000)
    }

    @Test func shellsAndCurlRunUnderIt() throws {
        let agent = try FakeAgent()
        let server = try LegListener(family: AF_INET)
        let port = server.address.port
        for command in [
            ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/\(port) && cat <&3"],
            ["curl", "-sS", "--max-time", "20", "http://127.0.0.1:\(port)/"],
        ] {
            let program = try Program(command, agent: agent.path)
            try agent.serve(
                program, server: server.descriptor.number, reply: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello\n"
            ) {
                if case .connect = $0 { .direct } else { .notMine }
            }
            let lines = try program.finish()
            #expect(lines.last?.hasPrefix("hello") == true, "\(lines)")
        }
    }
}
