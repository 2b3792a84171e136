import CLinux
import Kernel
import NetworkLab

/// `usl-lab`, which measures in labs of its own and prints tables.
enum LabProgram {
    /// Runs it to its end.
    ///
    /// - Returns: the cells of its table, row by row, without the head.
    static func table(_ arguments: [String]) throws -> [[String]] {
        let output = try run([try LabTool.path()] + arguments)
        let rows = cells(of: output)
        guard !rows.isEmpty else { throw BenchFailure("usl-lab \(arguments[0]): \(output)") }
        return rows
    }

    private static func run(_ command: [String]) throws -> String {
        let file = Descriptor(owning: try check(usl_memfd_create("usl-bench", UInt32(MFD_CLOEXEC))))
        var attributes = ChildProcess.Attributes()
        attributes.descriptors = [(file.number, 1)]
        let status = try ChildProcess.spawn(command.map { Array($0.utf8) }, attributes).wait()
        // What was written is behind the place where the program that wrote it stands.
        lseek(file.number, 0, SEEK_SET)
        let output = String(decoding: try FileContent.read(file, limit: 1 << 20), as: UTF8.self)
        guard status == .exited(0) else { throw BenchFailure("usl-lab \(command[1]): \(status): \(output)") }
        return output
    }

    static func cells(of table: String) -> [[String]] {
        table.split(separator: "\n").filter { $0.hasPrefix("|") }.dropFirst(2).map { line in
            line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast().map { cell in
                cell.split(separator: " ").joined(separator: " ")
            }
        }
    }
}
