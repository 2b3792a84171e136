import Interception

extension ProgramFile {
    /// Whether the library may stand in its `LD_PRELOAD`: a loader of another kind complains of it, or does not start the program.
    var takesLibrary: Bool {
        switch kind {
        case .dynamic, .dynamicGo, .static, .privileged, .notELF: true
        case .foreign: false
        }
    }

    /// Why its connections are not intercepted, for its user; nil if they are, or if nothing is known of it.
    ///
    /// - Parameter name: what the user calls it.
    func remark(_ name: String) -> String? {
        let alone =
            "its connections go past USL, but not those of dynamic programs that it starts; try --intercept donate, or usl forward"
        let all =
            "its connections and those of programs that it starts go past USL; try --intercept donate, or usl forward"
        return switch kind {
        case .dynamic, .notELF: nil
        case .dynamicGo: "\(name) is a Go program, which makes its system calls itself: \(alone)"
        case .static: "\(name) is statically linked: \(alone)"
        case .foreign(.bits32): "\(name) is a 32-bit program, and USL's library has 64 bits: \(all)"
        case .foreign(.machine): "\(name) is for another kind of machine than USL's library: \(all)"
        case .foreign(.loader(let loader)): "\(name) has another libc than USL's library (\(loader)): \(all)"
        // A trap needs PR_SET_NO_NEW_PRIVS, under which these get no privileges.
        case .privileged(.setUserID), .privileged(.setGroupID):
            "\(name) changes its user or group when it starts, and so loads no library: its connections go past USL; usl forward can carry them"
        case .privileged(.capabilities):
            "\(name) gets capabilities when it starts, and so loads no library: its connections go past USL; usl forward can carry them"
        }
    }
}
