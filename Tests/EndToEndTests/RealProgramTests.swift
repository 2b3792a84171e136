import CLinux
import NetworkLab
import TestSupport
import Testing

extension EndToEnd {
    /// Programs that people use, in each mode of interception, over links that are reset ten times a second. They take packages of
    /// their own, and belong to `make test-all`.
    @Suite(.enabled(if: getenv("USL_TEST_ALL") != nil)) struct RealProgramTests {
        enum Client: String, CaseIterable {
            case curl, wget, busybox, git, go, java, node, aiohttp
        }

        static let megabytes = 64
        static let modes = InterceptedProgramTests.modes

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
            case .aiohttp: ["/usr/bin/python3", ProbeProgram.folder + "/download.py", url, file]
            case .node: ["node", ProbeProgram.folder + "/download.mjs", url, file]
            }
        }

        /// A browser loads a page that takes longer than links live. Its own sandbox is made of user namespaces, and is for ordinary
        /// users.
        @Test(.timeLimit(.minutes(3)), arguments: modes + ["socks"], geteuid() == 0 ? [false, true] : [false])
        func chromium(way: String, isSandboxed: Bool) throws {
            // An ordinary user's lab has no others, and a browser of root no sandbox.
            try UnderTest.with(.attacked) { test in
                let server = try test.serve(["/usr/bin/python3", ProbeProgram.folder + "/page.py", "8000"], port: 8000)
                try test.client.succeed(["install", "-d", "-m", "777", "/run/browser"])
                let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/run/browser"]
                var (before, proxy) = ([String](), [String]())
                var agent: LabProcess?
                if way == "socks" {
                    proxy = ["--proxy-server=socks5://127.0.0.1:1080"]
                    agent = try test.client.start(
                        [try UnderTest.usl(), "agent", "-v", "--socks", "127.0.0.1:1080"]
                            + test.prefix([]).dropFirst().dropLast())
                    try test.client.waitForListener(port: 1080)
                } else {
                    before = try test.prefix(["-v", "--intercept", way])
                }
                let command =
                    [
                        "chromium", "--headless", "--disable-gpu", "--dump-dom", "--user-data-dir=/run/browser/profile",
                        isSandboxed ? "--disable-breakpad" : "--no-sandbox",
                    ] + proxy + ["http://\(test.server.address):8000/"]
                let outcome = try test.client.run(
                    (isSandboxed ? user : []) + before + command, within: .seconds(90))
                #expect(outcome.status == .success, "\(outcome.errors)")
                let expected = try test.client.succeed([
                    "/usr/bin/python3", "-c",
                    "import hashlib\nfor i in range(1000): print('<p>%s</p>' % hashlib.sha256(b'%d' % i).hexdigest())",
                ])
                #expect(outcome.output.contains(expected), "\(outcome.output.count) characters")
                let said = outcome.errors + (agent?.standardError ?? "")
                #expect(said.contains("link lost: "), "\(said)")
                agent?.terminate()
                server.terminate()
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
