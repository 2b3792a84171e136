import CLinux
import Kernel
import Testing

@Suite("Keys and pins of usl")
struct TrustTests {
    let installation: Installation
    private var state: String { installation.directory + "/state" }
    private let key = "SHA256:" + String(repeating: "A", count: 43)

    init() throws { installation = try Installation() }

    private func run(_ words: String...) throws -> Installation.Outcome {
        try installation.run([installation.usl] + words + ["--state", state])
    }

    @Test("the identity is made on first use, and stays")
    func identity() throws {
        let first = try run("identity")
        #expect(first.status == .success && first.errors.isEmpty)
        let words = first.output.split(whereSeparator: \.isWhitespace)
        #expect(words.count == 2 && words[0].hasPrefix("SHA256:") && words[0].count == key.count)
        #expect(words[1] == "\(state)/identity.pem")
        #expect(try run("identity") == first)
        let json = try run("identity", "--json")
        #expect(json.output == "{\"fingerprint\":\"\(words[0])\",\"path\":\"\(words[1])\"}\n")
    }

    @Test("processes that start at once have one identity")
    func together() throws {
        let script = "for i in 1 2 3 4 5 6; do \"$0\" identity --state \"$1\" & done; wait"
        let outcome = try installation.run(["sh", "-c", script, installation.usl, state])
        let lines = outcome.output.split(separator: "\n")
        #expect(lines.count == 6 && Set(lines).count == 1, "\(outcome)")
    }

    @Test("an identity that others could have read is refused")
    func open() throws {
        _ = try run("identity")
        chmod(state + "/identity.pem", 0o644)
        let outcome = try run("identity")
        #expect(outcome.status == .exited(125) && outcome.output.isEmpty)
        #expect(outcome.errors.hasPrefix("usl: \(state)/identity.pem is open to other users (mode 644)"))
        #expect(outcome.errors.split(separator: "\n").count == 1)
    }

    @Test("gateways are added, listed and removed")
    func pins() throws {
        #expect(try run("trust", "list") == .init(status: .success, output: "", errors: ""))
        #expect(try run("trust", "list", "--json").output == "{\"pins\":[]}\n")
        #expect(try run("trust", "add", "db1", key) == .init(status: .success, output: "", errors: ""))
        #expect(try run("trust", "add", "[2001:db8::1]:99", key).status == .success)
        let list = try run("trust", "list")
        let rows = list.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(rows.map { $0[0] } == ["NAME", "db1:7117", "[2001:db8::1]:99"])
        #expect(rows.dropFirst().allSatisfy { $0.count == 3 && $0[1] == key && $0[2].hasSuffix("Z") })
        let json = try run("trust", "list", "--json").output
        #expect(json.hasPrefix("{\"pins\":[{\"name\":\"db1:7117\",\"fingerprint\":\"\(key)\",\"since\":\"20"))
        #expect(try run("trust", "remove", "db1:7117").status == .success)
        let again = try run("trust", "remove", "db1")
        #expect(again == .init(status: .exited(125), output: "", errors: "usl: no key is pinned for db1:7117\n"))
    }

    @Test("what is no pin is told with its line, and the others are listed")
    func mistakes() throws {
        _ = try run("trust", "add", "db1", key)
        let spoil = "echo nonsense >> \(state)/pins"
        _ = try installation.run(["sh", "-c", spoil])
        let outcome = try run("trust", "list")
        #expect(outcome.status == .success && outcome.output.contains("db1:7117"))
        #expect(outcome.errors == "usl: \(state)/pins:2: not NAME FINGERPRINT DATE\n")
    }

    @Test("what is no fingerprint is refused", arguments: ["", "SHA256:short", "MD5:00"])
    func wrongFingerprint(text: String) throws {
        let outcome = try run("trust", "add", "db1", text)
        #expect(outcome.status == .exited(125) && outcome.errors.contains("'\(text)' is no fingerprint"))
        #expect(try run("trust", "list").output.isEmpty)
    }
}
