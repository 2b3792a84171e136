/// Finds the word that somebody may have meant.
public enum Spelling {
    /// The nearest of some words, if one is near enough: at most a third of its letters are other than written, and more than
    /// one only in longer words.
    public static func nearest(to word: String, among words: [String]) -> String? {
        let candidates = words.map { (word: $0, distance: distance(Array(word.utf8), Array($0.utf8))) }
        guard let best = candidates.min(by: { $0.distance < $1.distance }) else { return nil }
        return best.distance <= max(1, best.word.utf8.count / 3) ? best.word : nil
    }

    /// How many letters must be changed, added, taken away, or swapped with their neighbour (optimal string alignment).
    static func distance(_ first: [UInt8], _ second: [UInt8]) -> Int {
        // What is this different from any word needs no exact figure, and a file's author no square of time.
        guard abs(first.count - second.count) < 32 else { return .max }
        var older: [Int] = []
        var previous = Array(0...second.count)
        for row in 0..<first.count {
            var current = [row + 1]
            for column in 0..<second.count {
                var best = min(
                    previous[column] + (first[row] == second[column] ? 0 : 1), previous[column + 1] + 1,
                    current[column] + 1)
                if row > 0, column > 0, first[row] == second[column - 1], first[row - 1] == second[column] {
                    best = min(best, older[column - 1] + 1)
                }
                current.append(best)
            }
            older = previous
            previous = current
        }
        return previous[second.count]
    }
}
