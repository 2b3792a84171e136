import NetworkLab
import Testing

extension EndToEnd {
    @Suite struct WebTests {
        private func startServer(_ test: UnderTest) throws -> LabProcess {
            try test.server.succeed(["mkdir", "/run/site"])
            try test.server.makeRandomFile("/run/site/large", megabytes: 100)
            let small = "for i in $(seq 100); do echo page $i >/run/site/$i; done"
            try test.server.succeed(["/bin/bash", "-c", small])
            let command = ["/usr/bin/python3", "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", "::", "8000"]
            return try test.serve(command, port: 8000, directory: "/run/site")
        }

        @Test(arguments: Mode.allCases, ["curl -sS -o", "wget -q -O"])
        func aLargeFile(mode: Mode, client: String) throws {
            try UnderTest.with(mode, rate: .megabits(500)) { test in
                let server = try startServer(test)
                try test.script("\"$@\" \(client) /run/large http://server:8000/large")
                #expect(try test.client.digest("/run/large") == (try test.server.digest("/run/site/large")))
                server.terminate()
            }
        }

        /// A hundred requests on one connection, each after the answer to the one before.
        @Test(arguments: Mode.allCases)
        func manyRequestsOnOneConnection(mode: Mode) throws {
            try UnderTest.with(mode) { test in
                let server = try startServer(test)
                let rate = ["--rate", "50/s"]
                let pages = try test.run(["curl", "-sS"] + rate + ["http://server:8000/[1-100]"])
                #expect(pages == (1...100).map { "page \($0)\n" }.joined())
                server.terminate()
            }
        }
    }
}
