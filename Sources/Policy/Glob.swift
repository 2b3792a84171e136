/// A pattern of names: `*` stands for any text, `?` for one character, `[a-z]` for one of some, and `[!a-z]` for any other. The
/// first three do not stand for the separator, if there is one; `**` does.
public struct Glob: Hashable, Sendable, CustomStringConvertible {
    private enum Token: Hashable, Sendable {
        case character(Unicode.Scalar)
        case any
        case oneOf([ClosedRange<Unicode.Scalar>], isNegated: Bool)
        case star
        case doubleStar
    }

    /// As it was written.
    public let description: String
    private let tokens: [Token]
    private let separator: Unicode.Scalar?

    /// nil for brackets that do not close, or a range that runs backwards.
    init?(_ text: String, separator: Unicode.Scalar? = nil) {
        description = text
        self.separator = separator
        var tokens: [Token] = []
        var rest = Substring(text).unicodeScalars
        while let next = rest.popFirst() {
            switch next {
            case "*":
                if rest.first == "*" {
                    rest.removeFirst()
                    tokens.append(.doubleStar)
                } else {
                    tokens.append(.star)
                }
            case "?": tokens.append(.any)
            case "[":
                guard let token = Self.brackets(&rest) else { return nil }
                tokens.append(token)
            default: tokens.append(.character(next))
            }
        }
        self.tokens = tokens
    }

    /// Whether it stands for nothing but itself.
    var isLiteral: Bool {
        tokens.allSatisfy { if case .character = $0 { true } else { false } }
    }

    /// What stands behind `[`. A `]` that comes first is one of the characters.
    private static func brackets(_ rest: inout Substring.UnicodeScalarView) -> Token? {
        let isNegated = rest.first == "!" || rest.first == "^"
        if isNegated { rest.removeFirst() }
        var ranges: [ClosedRange<Unicode.Scalar>] = []
        while let first = rest.popFirst() {
            if first == "]", !ranges.isEmpty { return .oneOf(ranges, isNegated: isNegated) }
            var last = first
            if rest.first == "-", let end = rest.dropFirst().first, end != "]" {
                rest.removeFirst(2)
                last = end
            }
            guard first <= last else { return nil }
            ranges.append(first...last)
        }
        return nil
    }

    /// Takes time in proportion to the text and the pattern, whatever they are.
    func matches(_ text: String) -> Bool {
        // Whether a token may come next; the place behind the last one stands for the end.
        var reached = Array(repeating: false, count: tokens.count + 1)
        reached[0] = true
        passStars(&reached)
        for scalar in text.unicodeScalars {
            var next = Array(repeating: false, count: tokens.count + 1)
            for index in tokens.indices where reached[index] && takes(tokens[index], scalar) {
                switch tokens[index] {
                case .star, .doubleStar: next[index] = true
                case .character, .any, .oneOf: next[index + 1] = true
                }
            }
            passStars(&next)
            reached = next
        }
        return reached[tokens.count]
    }

    /// A star may stand for nothing.
    private func passStars(_ reached: inout [Bool]) {
        for index in tokens.indices where reached[index] {
            switch tokens[index] {
            case .star, .doubleStar: reached[index + 1] = true
            case .character, .any, .oneOf: break
            }
        }
    }

    private func takes(_ token: Token, _ scalar: Unicode.Scalar) -> Bool {
        switch token {
        case .character(let character): character == scalar
        case .any, .star: scalar != separator
        case .oneOf(let ranges, let isNegated):
            scalar != separator && ranges.contains { $0.contains(scalar) } != isNegated
        case .doubleStar: true
        }
    }
}
