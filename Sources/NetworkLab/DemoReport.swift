import CLinux

/// Counts, and says so.
struct DemoReport {
    private(set) var rounds = 0
    private(set) var bytes = 0
    private var longestPause = Duration.zero
    private var lastCount = ContinuousClock.now
    private var lastLine = ContinuousClock.now

    mutating func count(rounds: Int, bytes: Int) {
        self.rounds += rounds
        self.bytes += bytes
        let now = ContinuousClock.now
        longestPause = max(longestPause, now - lastCount)
        lastCount = now
        if now - lastLine > .milliseconds(100) {
            lastLine = now
            line("progress")
        }
    }

    /// Writes the last line.
    func finish(_ verdict: String) {
        if verdict == "verified" { line(verdict) } else { write("\(verdict)\n") }
    }

    private func line(_ word: String) {
        write("\(word) \(rounds) \(bytes) \(Int(longestPause / .microseconds(1)))\n")
    }

    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        _ = CLinux.write(STDOUT_FILENO, bytes, bytes.count)
    }
}
