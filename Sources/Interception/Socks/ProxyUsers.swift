/// Who may use a SOCKS port: names and passwords.
public struct ProxyUsers: Equatable, Sendable {
    /// A line that cannot be used.
    public struct Mistake: Error, Equatable, CustomStringConvertible, Sendable {
        /// From 1; 0 for the whole file.
        public let line: Int
        public let reason: String

        public var description: String { line == 0 ? reason : "line \(line): \(reason)" }
    }

    /// RFC 1929 has a byte for the length of either.
    private static let maximumLength = 255

    private var passwords: [[UInt8]: [UInt8]] = [:]

    /// Reads lines `USER:PASSWORD`. Empty ones and those that begin with `#` are skipped; a password may have colons in it.
    public init(_ text: [UInt8]) throws(Mistake) {
        var number = 0
        for line in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if line.isEmpty || line.first == UInt8(ascii: "#") { continue }
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
                throw Mistake(line: number, reason: "is not USER:PASSWORD")
            }
            let (user, password) = (line[..<colon], line[(colon + 1)...])
            guard !user.isEmpty, !password.isEmpty else {
                throw Mistake(line: number, reason: "a user needs a name and a password")
            }
            guard user.count <= Self.maximumLength, password.count <= Self.maximumLength else {
                throw Mistake(line: number, reason: "names and passwords have 255 bytes at most")
            }
            guard passwords.updateValue(Array(password), forKey: Array(user)) == nil else {
                throw Mistake(line: number, reason: "the user is there already")
            }
        }
        if passwords.isEmpty { throw Mistake(line: 0, reason: "there is no user in it") }
    }

    /// Whether this is a user's password. How long it takes depends on what was said, and not on how much of it is right.
    func admit(_ user: some Collection<UInt8>, _ password: some Collection<UInt8>) -> Bool {
        let known = passwords[Array(user)]
        // Somebody who is not known must not be told so by an answer that comes sooner.
        return Self.isEqual(Array(password), to: known ?? [0]) && known != nil
    }

    private static func isEqual(_ given: [UInt8], to stored: [UInt8]) -> Bool {
        var difference = given.count ^ stored.count
        for (index, byte) in given.enumerated() { difference |= Int(byte ^ stored[index % stored.count]) }
        return difference == 0
    }
}
