import CLinux
import Kernel
import Testing

/// Rules of the project that a machine can check; CONTRIBUTING.md and docs/architecture.md say why they are rules.
@Suite("Project rules")
struct ProjectRulesTests {
    /// What each target may import of this package: what Package.swift gives it, and what that brings along. Whoever
    /// adds a line, or a word to one, changes the architecture.
    static let imports: [String: Set<String>] = {
        let kernel: Set = ["CLinux", "Kernel"]
        let transport = kernel.union(["COpenSSL", "SessionProtocol"])
        let engine = kernel.union(["SessionProtocol", "Transport", "Keeper"])
        let host = engine.union(["Engine", "Interception", "Policy"])
        return [
            "SessionProtocol": [],
            "SessionProtocolEmbedded": [],
            "Rendezvous": [],
            "Policy": [],
            "Kernel": ["CLinux"],
            "Interposer": ["CLinux"],
            "Transport": transport.subtracting(["Transport"]),
            "Trust": transport.union(["Transport"]),
            "Keeper": kernel,
            "Interception": kernel.union(["Keeper"]),
            "Engine": engine,
            "Trapping": engine.union(["Engine", "Interception"]),
            "Donation": engine.union(["Engine", "Interception", "Trapping"]),
            "SessionHost": host,
            "Agent": host.union(["SessionHost", "Rendezvous", "Trust"]),
            "Gateway": host.union(["SessionHost", "Rendezvous", "Trust"]),
            "NetworkLab": kernel.union(["COpenSSL"]),
            "LabCommand": kernel.union(["COpenSSL", "NetworkLab"]),
            "Simulation": ["SessionProtocol"],
            "SimulateCommand": ["Simulation"],
            "usl": host.union(["SessionHost", "Agent", "Trapping", "Donation", "Gateway", "NetworkLab", "Trust"]),
        ]
    }()

    /// What may be imported from outside of this package, and by whom. Anything else, Foundation first of all, is for
    /// nobody.
    static let importers: [String: Set<String>] = [
        "SystemPackage": [
            "Kernel", "Transport", "Trust", "Keeper", "Interception", "Engine", "SessionHost", "Agent", "Gateway",
            "NetworkLab", "Trapping", "Donation", "usl",
        ],
        "Synchronization": ["Keeper", "Transport", "Engine", "SessionHost", "NetworkLab"],
        "DequeModule": ["Engine", "SessionHost", "Gateway"],
        "Logging": ["SessionHost", "Agent", "Gateway", "usl"],
        "ArgumentParser": ["SimulateCommand", "LabCommand", "usl"],
        "Glibc": ["SimulateCommand", "LabCommand"],
    ]

    let tree = SourceTree()

    @Test("imports point down, and out only where that was decided")
    func importsPointDown() throws {
        let files = try tree.files(below: "Sources", suffix: ".swift")
        #expect(files.count > 100)
        for file in files {
            guard let allowed = Self.imports[file.target] else {
                Issue.record("\(file.path): add the target \(file.target) to the table of imports")
                continue
            }
            for module in file.imports {
                let isAllowed = allowed.contains(module) || Self.importers[module]?.contains(file.target) == true
                #expect(isAllowed, "\(file.path): \(file.target) may not import \(module)")
            }
        }
    }

    @Test("files are short enough to be read at once")
    func filesAreShort() throws {
        for file in try tree.files(below: "Sources", suffix: "") {
            #expect(file.lines.count <= 450, "\(file.path): \(file.lines.count) lines; one concept a file")
        }
    }

    @Test("nothing is left for later, and nothing dies without saying what was violated")
    func nothingIsLeftForLater() throws {
        for file in try tree.files(below: "Sources", suffix: "") {
            for (number, line) in file.lines.enumerated() {
                for word in ["fatalError", "TODO", "FIXME", "XXX"] {
                    #expect(!line.contains(word), "\(file.path):\(number + 1): \(word)")
                }
            }
        }
    }

    @Test("C is declarations and inline functions without a decision in them")
    func cHoldsNoLogic() throws {
        for file in try tree.files(below: "Sources", suffix: ".c") {
            for line in file.lines where !line.isEmpty {
                #expect(line.hasPrefix("//"), "\(file.path): code belongs in Swift: \(line)")
            }
        }
        for file in try tree.files(below: "Sources", suffix: ".h") {
            for line in file.lines where !line.hasPrefix("//") && !line.hasPrefix("#") {
                let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
                let decision = words.first { ["if", "else", "for", "while", "do", "switch", "goto"].contains($0) }
                #expect(decision == nil, "\(file.path): logic belongs in Swift: \(line)")
                let isDefinition = line.last == "{" && line.contains("(")
                #expect(!isDefinition || line.hasPrefix("static inline "), "\(file.path): not inline: \(line)")
            }
        }
    }

    @Test("every reason and every field of a session's status is explained")
    func statusIsDocumented() throws {
        let page = try tree.text("docs/status.md")
        let reasons = try tree.text("Sources/SessionProtocol/Session+Status.swift").quotedWords
        let fields = try tree.text("Sources/SessionHost/StatusJSON.swift").quotedWords
        #expect(reasons.count > 10 && fields.count > 15)
        let strangers = try tree.text("Sources/SessionHost/StrangerReport.swift").quotedWords
        #expect(strangers.count > 10)
        for word in reasons + fields + strangers {
            let isExplained = page.contains("`\(word)`")
            #expect(isExplained, "docs/status.md does not explain '\(word)'")
        }
    }

    /// The formatting, JSON and locale parts of Foundation would make the command ten times as large.
    @Test("the command is linked without Foundation", .enabled(if: SourceTree().hasCommand))
    func commandHasNoFoundation() throws {
        let found = try tree.commandContains(["_FoundationICU", "FoundationInternationalization", "$s10Foundation"])
        #expect(found.isEmpty, "symbols of Foundation in the command: \(found)")
    }
}

/// The package that this test was compiled from.
struct SourceTree {
    struct File {
        /// From the package's root.
        let path: String
        let lines: [Substring]

        /// The folder below `Sources`.
        var target: String { String(path.split(separator: "/")[1]) }

        var imports: [String] {
            lines.compactMap { line in
                let words = line.split(separator: " ")
                guard let index = words.firstIndex(of: "import"), words.count > index + 1,
                    words[..<index].allSatisfy({ $0.hasPrefix("@") || Self.accessLevels.contains($0) })
                else { return nil }
                // `import struct Module.Type` names the module after the kind.
                let hasKind = Self.kinds.contains(words[index + 1]) && words.count > index + 2
                return String(words[index + (hasKind ? 2 : 1)].prefix { $0 != "." })
            }
        }

        private static let accessLevels: Set<Substring> = ["public", "package", "internal", "fileprivate", "private"]
        private static let kinds: Set<Substring> = [
            "struct", "class", "enum", "protocol", "typealias", "func", "let", "var",
        ]
    }

    private let root: String

    init(testFile: String = #filePath) {
        root = testFile.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    }

    private var command: String { root + "/.build/usl/bin/usl" }

    var hasCommand: Bool { access(command, R_OK) == 0 }

    func text(_ path: String) throws -> String { String(decoding: try bytes(root + "/" + path), as: UTF8.self) }

    /// The files of a folder and of those in it. Links to folders are not followed: what they show is read where it is.
    func files(below folder: String, suffix: String) throws -> [File] {
        var files: [File] = []
        let listing = try #require(opendir(root + "/" + folder), "cannot list \(folder)")
        defer { closedir(listing) }
        while let entry = readdir(listing) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
            }
            let path = folder + "/" + name
            switch Int(entry.pointee.d_type) {
            case Int(DT_DIR) where !name.hasPrefix("."):
                files += try self.files(below: path, suffix: suffix)
            case Int(DT_REG) where name.hasSuffix(suffix):
                let lines = try text(path).split(separator: "\n", omittingEmptySubsequences: false)
                files.append(File(path: path, lines: lines))
            default: continue
            }
        }
        return files
    }

    /// Which of the texts the command's file has in it.
    func commandContains(_ texts: [String]) throws -> [String] {
        let haystack = try bytes(command)
        return texts.filter { text in
            haystack.withUnsafeBytes { memmem($0.baseAddress!, $0.count, text, text.utf8.count) != nil }
        }
    }

    private func bytes(_ path: String) throws -> [UInt8] {
        let file = Descriptor(owning: try check(usl_open(path, O_RDONLY | O_CLOEXEC, 0)))
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try retrying { read(file.number, &chunk, chunk.count) }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }
}

extension String {
    /// The string literals in a source text that are words, as those of a vocabulary are: `link-lost`, `rtt_ms`.
    fileprivate var quotedWords: [String] {
        split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }.flatMap { line in
            line.split(separator: "\"", omittingEmptySubsequences: false).enumerated()
                .filter { $0.offset % 2 == 1 }.map(\.element)
                .filter {
                    $0.first?.isLetter == true && $0.allSatisfy { ("a"..."z").contains($0) || $0 == "-" || $0 == "_" }
                }
                .map(String.init)
        }
    }
}
