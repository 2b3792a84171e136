/// One of the demo's connections: a program on each side.
final class Contender {
    let program: String
    let underUSL: Bool
    let port: UInt16
    let server: LabProcess
    var client: LabProcess?

    /// What the side that receives has last told: the client of a ping-pong, the server of a bulk transfer. (Its sender
    /// waits whenever the buffers on the way are full, which tells nothing of the network.)
    private(set) var rounds = 0
    private(set) var bytes = 0
    private(set) var longestPause = Duration.zero
    /// When and of what the client died.
    private(set) var death: (after: Duration, reason: String)?
    private(set) var isRunning = true

    init(program: String, underUSL: Bool, port: UInt16, server: LabProcess) {
        self.program = program
        self.underUSL = underUSL
        self.port = port
        self.server = server
    }

    /// Both sides ran to their end and found every byte in its place.
    var isVerified: Bool {
        client?.ended == .exited(0) && server.ended == .exited(0) && bytes > 0
            && Line(last: server.standardOutput)?.bytes == bytes
            && client.flatMap { Line(last: $0.standardOutput) }?.bytes == bytes
    }

    /// Reads what the client has reported. `elapsed` is the time since the demo's begin.
    func observe(_ elapsed: Duration) {
        guard isRunning, let client else { return }
        // Asked first: what is written before the end is then certainly read.
        let over = client.ended
        let output = client.standardOutput
        if let line = Line(last: program == "bulk" ? server.standardOutput : output) {
            (rounds, bytes, longestPause) = (line.rounds, line.bytes, line.longestPause)
        }
        guard let over else { return }
        if over == .exited(0) {
            // The server sees the end a moment later.
            isRunning = server.ended == nil
            return
        }
        isRunning = false
        let reason = output.split(separator: "\n").last.flatMap { $0.hasPrefix("failed ") ? $0.dropFirst(7) : nil }
        death = (elapsed, reason.map(String.init) ?? "\(over.text) \(client.standardError)")
    }

    /// A line of numbers, as `DemoPeer` writes it.
    private struct Line {
        var rounds = 0
        var bytes = 0
        var longestPause = Duration.zero

        /// The last such line of a report.
        init?(last output: String) {
            for text in output.split(separator: "\n").reversed() {
                let words = text.split(separator: " ")
                guard words.count == 4, words[0] == "progress" || words[0] == "verified" else { continue }
                guard let rounds = Int(words[1]), let bytes = Int(words[2]), let pause = Int(words[3]) else { continue }
                self.rounds = rounds
                self.bytes = bytes
                longestPause = .microseconds(pause)
                return
            }
            return nil
        }
    }
}
