public import CLinux
import Kernel
import SystemPackage

/// What is in the file of a program: whether a library can be loaded into it.
public struct ProgramFile: Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// An ELF executable of this machine whose loader is this program's own, and so takes `LD_PRELOAD` (ld.so(8)).
        case dynamic
        /// Dynamic, but with a Go runtime, which makes its system calls itself.
        case dynamicGo
        /// Without a loader.
        case `static`
        /// Of another class (32 bits), of another machine, or of another libc.
        case foreign(Foreign)
        /// It gets privileges when it is started, and so its loader ignores `LD_PRELOAD` (ld.so(8), "Secure-execution mode").
        case privileged(Privilege)
        /// What the kernel executes by other means (binfmt_misc), or not at all.
        case notELF
    }

    public enum Foreign: Equatable, Sendable {
        case bits32
        /// The number of the machine in `elf.h`.
        case machine(UInt16)
        /// Its loader is another one than this program's, such as musl's.
        case loader(String)
    }

    public enum Privilege: Equatable, Sendable {
        case setUserID
        case setGroupID
        /// Of the file (capabilities(7)).
        case capabilities
    }

    /// Who is about to start a program.
    public struct Caller: Equatable, Sendable {
        public let user: uid_t
        public let group: gid_t
        /// `PR_SET_NO_NEW_PRIVS`: then nothing gives privileges.
        public let isLimited: Bool

        public init(user: uid_t, group: gid_t, isLimited: Bool) {
            (self.user, self.group, self.isLimited) = (user, group, isLimited)
        }

        /// This process.
        public static var own: Caller {
            Caller(user: getuid(), group: getgid(), isLimited: usl_prctl(PR_GET_NO_NEW_PRIVS, 0) == 1)
        }
    }

    /// As many interpreters may stand behind each other (in the kernel, exec_binprm).
    private static let interpreterLimit = 5

    /// The file that becomes the process: behind `#!`, the interpreter.
    public let path: [UInt8]
    public let kind: Kind

    /// Finds the program that `ChildProcess.spawn` starts: in `PATH` unless its name has a slash.
    ///
    /// - Returns: nil if there is none that may be executed, or read; starting it tells why.
    public static func find(_ name: [UInt8], for caller: Caller = .own) -> ProgramFile? {
        guard !name.isEmpty else { return nil }
        let hasPlace = name.contains(UInt8(ascii: "/"))
        let places = hasPlace ? [name] : ChildProcess.searchPath().map { $0 + name }
        for path in places {
            if let found = ProgramFile(at: path, for: caller) { return found }
        }
        return nil
    }

    /// What `path` leads to.
    init?(at path: [UInt8], for caller: Caller) {
        guard let own = ELFHeader.own else { return nil }
        var path = path
        for _ in 0...Self.interpreterLimit {
            guard let file = ExecutableFile(path) else { return nil }
            let beginning = file.bytes(at: 0, count: ELFHeader.size)
            if let interpreter = file.interpreter {
                path = interpreter
                continue
            }
            if beginning.starts(with: ELFHeader.magic) {
                self.path = path
                kind = Self.kind(of: file, like: own, for: caller)
                return
            }
            // What the kernel does not know goes to the shell, unless it is binary (execvp(3)): then some other means knows it.
            guard !beginning.contains(0) else { break }
            path = Array("/bin/sh".utf8)
        }
        self.path = path
        kind = .notELF
    }

    private static func kind(of file: borrowing ExecutableFile, like own: ELFHeader, for caller: Caller) -> Kind {
        guard let header = ELFHeader(file) else { return .notELF }
        guard header.is64Bits == own.is64Bits else {
            return .foreign(header.is64Bits ? .machine(header.machine) : .bits32)
        }
        guard header.machine == own.machine, header.isLittleEndian == own.isLittleEndian else {
            return .foreign(.machine(header.machine))
        }
        if let privilege = file.privilege(for: caller) { return .privileged(privilege) }
        guard let loader = header.loader else { return .static }
        // Distributions have it in different directories.
        guard name(of: loader) == own.loader.map(name) else { return .foreign(.loader(loader)) }
        return header.hasGoNote ? .dynamicGo : .dynamic
    }

    private static func name(of path: String) -> Substring { path.split(separator: "/").last ?? "" }
}
