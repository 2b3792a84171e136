import CLinux

/// The lab's own programs: `usl-lab`, which every build of the package makes beside what it makes else.
public enum LabTool {
    /// The full path of `usl-lab`, or of another program of the package: beside the program that this is.
    public static func path(_ name: String = "usl-lab") throws(LabError) -> String {
        let own = try ownExecutable()
        let folder = own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let path = folder + "/" + name
        guard access(path, X_OK) == 0 else { throw .system(call: path, reason: "not there; build the product \(name)") }
        return path
    }

    /// The full path of the program that this is.
    public static func ownExecutable() throws(LabError) -> String {
        var path = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let length = path.withUnsafeMutableBytes {
            readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        guard length > 0 else { throw .system(call: "readlink /proc/self/exe", reason: errnoText()) }
        return String(decoding: path[..<length], as: UTF8.self)
    }
}
