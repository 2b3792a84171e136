import NetworkLab
import Testing

extension EndToEnd {
    /// Names that programs resolve, and what USL learns of them.
    @Suite struct NamesTests {
        private static let zone = [
            "db.test A 10.77.2.2", "db.test A 10.77.2.9", "db.test AAAA fd77:2::2", "db4.test A 10.77.2.2",
        ]

        /// `-v` tells of each name, however programs look it up, and nothing of what was not found.
        @Test func whatProgramsResolveIsKnown() throws {
            let usl = try UnderTest.usl()
            try UnderTest.withoutGateway { test in
                let server = try test.serveNames(Self.zone)
                func told(_ command: [String], status: UInt8 = 0) throws -> [String] {
                    let outcome = try test.client.run([usl, "-v", "--treatment", "direct", "--"] + command)
                    #expect(outcome.status == .exited(status), "\(outcome.errors)")
                    return outcome.errors.split(separator: "\n").map(String.init).filter { $0.contains(" is ") }
                }
                let addresses = try #require(try told(["getent", "ahosts", "db.test"]).first).split {
                    $0 == " " || $0 == ","
                }
                #expect(
                    addresses.prefix(3) == ["usl:", "db.test", "is"]
                        && addresses.dropFirst(3).sorted() == ["10.77.2.2", "10.77.2.9", "fd77:2::2"])
                #expect(try told(["getent", "hosts", "server"]).count == 1)
                let script = "import socket; socket.getaddrinfo('DB4.test.', 80); socket.gethostbyname_ex('db4.test')"
                #expect(try Set(told(["/usr/bin/python3", "-c", script])) == ["usl: db4.test is 10.77.2.2"])
                #expect(try told(["getent", "ahosts", "nobody.test"], status: 2).isEmpty)
                #expect(try told(["getent", "ahosts", "10.77.2.2"]).isEmpty)
                #expect(server.standardOutput.contains("A db.test"))
            }
        }
    }
}

extension UnderTest {
    /// Starts a name server on the server, and has the client ask it.
    ///
    /// - Parameter zone: as ``NameServer`` reads it.
    func serveNames(_ zone: [String]) throws -> LabProcess {
        let process = try server.start(NameServer.command(at: server.address, zone: zone))
        try process.waitForOutput("serving")
        let files = """
            set -e
            echo 'nameserver \(server.address)' > /run/resolv.conf
            echo 'hosts: files dns' > /run/nsswitch.conf
            mount --bind /run/resolv.conf /etc/resolv.conf
            mount --bind /run/nsswitch.conf /etc/nsswitch.conf
            """
        try client.succeed(["/bin/sh", "-c", files])
        return process
    }
}
