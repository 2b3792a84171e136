import NetworkLab
import Testing

extension EndToEnd {
    /// `usl forward`, through a gateway and without one.
    @Suite struct ForwardTests {
        @Test(arguments: [true, false], ["10.77.2.2", "[fd77:2::2]"])
        func endsAreThoseOfTheTarget(hasGateway: Bool, target: String) throws {
            try UnderTest.withoutGateway { test in
                let peers = try test.servePeers()
                let usl = try UnderTest.usl()
                if hasGateway { _ = try test.startGateway() }
                var forwards: [LabProcess] = []
                for port in [7002, 7003, 7004, 7005, 7006, 7099] {
                    // Where there is no gateway, the target is asked for one.
                    let options = hasGateway && port != 7002 ? ["--gateway", "10.77.2.2"] : []
                    forwards.append(
                        try test.client.start(
                            [usl, "forward", "--plain"] + options + ["localhost:\(port)", "\(target):\(port)"]))
                }
                for port in [7002, 7003, 7004, 7005, 7006, 7099] as [UInt16] {
                    try test.client.waitForListener(port: port)
                }
                let outcome = try test.client.run(
                    Peers.client(
                        """
                        for host in '127.0.0.1', '::1':
                            s = connect(7002, host)
                            exactly(s, 10)
                            pingpong(s, 20)
                            s = connect(7003, host)
                            s.sendall(MEBIBYTE)
                            s.shutdown(socket.SHUT_WR)
                            assert rest(s) == (MEBIBYTE, 'EOF')
                            s = connect(7004, host)
                            assert rest(s) == (MEBIBYTE, 'EOF')
                            s.sendall(MEBIBYTE)
                            s.close()
                            s = connect(7005, host)
                            s.sendall(b'!')
                            assert (found := rest(s)) == (b'bytes before', 'ECONNRESET'), found
                            s = connect(7006, host)
                            exactly(s, 1)
                            s.sendall(b'12345')
                            eventually(lambda: all_sent(s))
                            reset(s)
                            # Accepted before the target was asked: what it refuses is reset.
                            assert (found := rest(connect(7099, host))) == (b'', 'ECONNRESET'), found
                        """))
                #expect(outcome.status == .success, "\(outcome.errors)")
                try peers.waitForOutput("ECONNRESET")
                for forward in forwards { #expect(forward.terminate() == .exited(0)) }
                let said = forwards.last?.standardError ?? ""
                #expect(said.contains("Connection refused") && said.split(separator: "\n").count == 1, "\(said)")
                for forward in forwards.dropLast() { #expect(forward.standardError == "") }
                #expect(try test.client.succeed(["ls", "/run/usl"]) == "")
            }
        }
    }
}
