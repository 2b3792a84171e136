import NetworkLab
import Testing

extension Host {
    /// What `usl status --json` says once the gateway here counts no connection without a session: the last of them may have
    /// gone a moment ago.
    func figuresWithoutStrangers() throws -> String {
        let status = [try UnderTest.usl(), "status", "--json"]
        var figures = ""
        try waitUntil("end of all strangers", within: .seconds(5)) { () throws(LabError) in
            figures = try succeed(status)
            return figures.contains("\"handshakes\":{\"now\":0,")
        }
        return figures
    }

    /// Asserts on what `usl status --json` shows here, asked for until it fits: `condition` is Python over `sessions`.
    func expectSessions(
        _ condition: String, within limit: Duration = .seconds(5), sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let script = """
            def sessions():
                global found
                found = json.loads(subprocess.run([sys.argv[1], 'status', '--json'], check=True, capture_output=True).stdout)
                assert list(found) == ['sessions', 'gateways']
                return found['sessions']
            try: eventually(lambda: (lambda sessions: \(condition))(sessions()), \(limit.components.seconds))
            except AssertionError: sys.exit(json.dumps(found))
            """
        let outcome = try run(Peers.client(script, [try UnderTest.usl()]), within: limit + .seconds(10))
        #expect(outcome.status == .success, "\(condition): \(outcome.errors)", sourceLocation: sourceLocation)
    }
}
