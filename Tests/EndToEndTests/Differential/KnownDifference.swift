/// A difference between programs under USL and bare ones that is accepted, and why. One that is not there any more is a defect of
/// this table.
struct KnownDifference: Sendable {
    /// The letter by which docs/interception.md names it.
    let mark: String
    /// Whether it is there each time; else it is a matter of what came first.
    var isSteady = true
    /// The modes that have it.
    let modes: Set<String>
    let places: [Place]
    /// What a program sees.
    let title: String
    /// Why that is so.
    let reason: String

    /// Cases, and what differs in them.
    struct Place: Sendable {
        let programs: Set<ProbeProgram>
        /// Not in all modes; nil: in all that the difference has.
        let modes: Set<String>?
        /// By their names.
        let cases: Set<String>
        /// The fields that differ: "CALL KEY", or "KEY" of any call; "steps" for whatever follows.
        let fields: Set<String>

        /// - Parameter programs: what is said of C is said of static programs too, where they are intercepted.
        init(
            _ cases: Set<String>, _ fields: Set<String>, of programs: Set<ProbeProgram> = [.c],
            in modes: Set<String>? = nil
        ) {
            self.programs = programs
            self.modes = modes
            self.cases = cases
            self.fields = fields
        }

        fileprivate func covers(_ difference: ProbeReport.Difference) -> Bool {
            fields.contains(difference.key) || fields.contains("\(difference.call) \(difference.key)")
        }
    }

    /// What it allows to differ in a case; none if it has nothing to do with that.
    func places(of name: String, in mode: InterceptionMode, _ program: ProbeProgram) -> [Place] {
        guard modes.contains(mode.name) else { return [] }
        let alike = program == .staticC && mode.reachesStaticPrograms ? .c : program
        return places.filter {
            $0.programs.contains(alike) && $0.cases.contains(name) && $0.modes?.contains(mode.name) != false
        }
    }
}

extension [KnownDifference.Place] {
    func covers(_ difference: ProbeReport.Difference) -> Bool { contains { $0.covers(difference) } }

    /// Whether a difference in time is among what they allow.
    var areAboutTime: Bool { contains { $0.fields.contains { $0.hasSuffix("elapsed") } } }
}
