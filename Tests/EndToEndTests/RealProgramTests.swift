import CLinux
import NetworkLab
import TestSupport
import Testing

extension EndToEnd {
    /// Programs that people use, in each mode of interception, over links that are reset ten times a second. They take packages of
    /// their own, and belong to `make test-all`.
    @Suite(.enabled(if: getenv("USL_TEST_ALL") != nil)) struct RealProgramTests {
        enum Client: String, CaseIterable {
            case curl, wget, busybox, git, go, java, node
        }

        static let megabytes = 64
        static let modes = ["preload", "donate"]

        private func with(_ mode: String, _ body: (UnderTest, _ url: String) throws -> Void) throws {
            try UnderTest.withoutGateway { test in
                let gateway = try test.startGateway()
                try test.server.succeed(["mkdir", "/run/site"])
                try test.server.makeRandomFile("/run/site/large", megabytes: Self.megabytes)
                let server = try test.serve(
                    ["/usr/bin/python3", "-m", "http.server", "--bind", "::", "8000"], port: 8000,
                    directory: "/run/site")
                let attack = try test.lab.attack(
                    .socketKill(host: "server", port: UnderTest.gatewayPort, every: .milliseconds(100)))
                try body(test, "\(test.server.address):8000")
                attack.stop()
                #expect(attack.kills > 0, "the attack has reset nothing")
                #expect(gateway.ended == nil, "\(gateway.standardError)")
                server.terminate()
            }
        }

        @Test(arguments: Client.allCases, modes)
        func downloads(client: Client, mode: String) throws {
            // They make their system calls themselves.
            if [.go, .busybox].contains(client), mode == "preload" { return }
            let directory = try TemporaryDirectory()
            try with(mode) { test, address in
                let prefix = try test.prefix(["--intercept", mode])
                let command = try command(client, "http://\(address)/large", to: "/run/large", directory.path)
                if client == .git {
                    try test.server.succeed([
                        "/bin/bash", "-c",
                        """
                        set -e; cd /run/site; git init -q work; cd work; cp ../large .; git add large
                        git -c user.name=a -c user.email=a@example.org commit -qm large
                        cd ..; git clone -q --bare work repository; git -C repository update-server-info
                        """,
                    ])
                    try test.client.succeed(
                        prefix + ["git", "clone", "-q", "http://\(address)/repository", "/run/copy"])
                    try test.client.succeed(["mv", "/run/copy/large", "/run/large"])
                } else {
                    try test.client.succeed(prefix + command, within: .seconds(60))
                }
                #expect(try test.client.digest("/run/large") == (try test.server.digest("/run/site/large")))
            }
        }

        private func command(
            _ client: Client, _ url: String, to file: String, _ directory: String
        ) throws -> [String] {
            switch client {
            case .curl: ["curl", "-sS", "-o", file, url]
            case .wget: ["wget", "-q", "-O", file, url]
            case .busybox: ["busybox", "wget", "-q", "-O", file, url]
            case .git: []
            case .go: [try ProbeProgram.makeGo("download", in: directory), url, file]
            case .java: ["java", "-cp", try ProbeProgram.makeJava("Download", in: directory), "Download", url, file]
            case .node: ["node", ProbeProgram.folder + "/download.mjs", url, file]
            }
        }

        /// A reverse proxy is a client of one server and the server of others.
        @Test(arguments: modes)
        func aReverseProxy(mode: String) throws {
            try with(mode) { test, address in
                let configuration = "/run/nginx.conf"
                try test.client.succeed([
                    "/bin/sh", "-c", "sed s/SERVER/\(address)/ \(ProbeProgram.folder)/nginx.conf > \(configuration)",
                ])
                let options = ["--intercept", mode, "--no-offer"]
                let proxy = try test.client.start(try test.prefix(options) + ["nginx", "-c", configuration])
                try test.client.waitForListener(port: 8080)
                try test.client.succeed(["curl", "-sS", "-o", "/run/large", "http://127.0.0.1:8080/large"])
                #expect(try test.client.digest("/run/large") == (try test.server.digest("/run/site/large")))
                proxy.terminate()
            }
        }
    }
}
