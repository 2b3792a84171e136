import Interception

extension ProgramFile {
    /// Whether the library may stand in its `LD_PRELOAD`: a loader of another kind complains of it, or does not start the program.
    var takesLibrary: Bool {
        switch kind {
        case .dynamic, .dynamicGo, .static, .privileged, .notELF: true
        case .foreign: false
        }
    }

    /// Whether the library does not reach its connections, and donated sockets do.
    var needsDonation: Bool {
        switch kind {
        case .dynamicGo, .static, .foreign(.loader): true
        // A trap needs PR_SET_NO_NEW_PRIVS, under which privileged programs get none.
        case .dynamic, .notELF, .foreign(.bits32), .foreign(.machine), .privileged: false
        }
    }

    /// Why the library does not reach its connections; nil if it does, or if nothing is known of it.
    var peculiarity: String? {
        switch kind {
        case .dynamic, .notELF: nil
        case .dynamicGo: "it is a Go program, which makes its system calls itself"
        case .static: "it is statically linked"
        case .foreign(.bits32): "it is a 32-bit program, and USL is one of 64 bits"
        case .foreign(.machine): "it is for another kind of machine than USL"
        case .foreign(.loader(let loader)): "it has another libc than USL (\(loader))"
        case .privileged(.setUserID), .privileged(.setGroupID): "it changes its user or group when it starts"
        case .privileged(.capabilities): "it gets capabilities when it starts"
        }
    }

    /// What its user has to know: that its connections go past USL, why, and what to do; nil if the library reaches them.
    ///
    /// - Parameters:
    ///   - name: what the user calls it.
    ///   - canDonate: whether donated sockets have not been tried.
    func remark(_ name: String, canDonate: Bool) -> String? {
        peculiarity.map { "\(name): \(consequence(of: $0, canDonate: canDonate))" }
    }

    /// What a user has to know who has asked for a trap by its name; nil if the program is reached, and is what it is without USL.
    func remark(_ name: String, under trap: String) -> String? {
        guard let peculiarity else { return nil }
        switch kind {
        // Another machine is emulated by a program of this one, which makes the calls.
        case .dynamic, .notELF, .dynamicGo, .static, .foreign(.loader), .foreign(.machine): return nil
        case .foreign(.bits32):
            return
                "\(name): \(peculiarity); its connections go past USL, but not those of 64-bit programs that it starts; "
                + "usl forward can carry them"
        case .privileged:
            return "\(name): \(peculiarity), but not under --intercept \(trap); start usl as that user"
        }
    }

    private func consequence(of reason: String, canDonate: Bool) -> String {
        switch kind {
        case .dynamic, .notELF, .dynamicGo, .static, .foreign(.loader):
            "\(reason); its connections go past USL, but not those of dynamic programs that it starts; "
                + (canDonate
                    ? "try --intercept donate, or usl forward" : "usl forward can carry them; usl doctor says more")
        case .foreign(.bits32), .foreign(.machine):
            "\(reason); its connections and those of programs that it starts go past USL; usl forward can carry them"
        case .privileged:
            "\(reason), and so loads no library; its connections go past USL; start usl as that user, or let usl forward carry them"
        }
    }
}
