/// A line of a file that says nothing, and why.
public struct FileMistake: Error, Equatable, CustomStringConvertible, Sendable {
    public let file: String
    /// From 1.
    public let line: Int
    public let text: String

    public var description: String { "\(file):\(line): \(text)" }
}
