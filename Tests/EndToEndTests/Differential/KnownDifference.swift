/// A difference between programs under USL and bare ones that is accepted, and why. One that is not there any more is a defect of
/// this table.
struct KnownDifference: Sendable {
    /// Letters by which the table of docs/interception.md names it.
    let mark: String
    /// The modes that have it.
    let modes: Set<String>
    let programs: Set<ProbeProgram>
    /// The cases in which it is, by their names, all of them.
    let cases: Set<String>
    /// The fields that differ: "CALL KEY", or "KEY" of any call; "steps" for whatever follows.
    let fields: Set<String>
    /// What a program sees, and why that is so.
    let title: String
    let reason: String

    func applies(to name: String, in mode: InterceptionMode, of program: ProbeProgram) -> Bool {
        modes.contains(mode.name) && programs.contains(program) && cases.contains(name)
    }

    func covers(_ difference: ProbeReport.Difference) -> Bool {
        fields.contains(difference.key) || fields.contains("\(difference.call) \(difference.key)")
    }
}
