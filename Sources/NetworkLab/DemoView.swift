import CLinux

/// What the demo shows: one line a second, in colour on a terminal.
struct DemoView {
    private let isTerminal = isatty(STDOUT_FILENO) == 1

    private static let widths = [6, 26, 26, 16, 16, 16, 13]

    func begin(seconds: Int) {
        show(
            "Two hosts and a path of 100 Mbit/s. A ping-pong and a bulk transfer, plain and under USL, for \(seconds) seconds."
        )
        show("")
        row([
            "second", "plain ping-pong", "plain bulk", "USL ping-pong", "USL bulk", "resets survived", "longest pause",
        ])
    }

    func attackBegins() {
        show(colored("tcpkill now resets every connection that it sees.", .yellow))
    }

    func second(_ second: Int, _ contenders: [Contender], resets: Int) {
        let cells = contenders.map { contender -> String in
            if let death = contender.death { return "died in second \(Self.ordinal(death.after))" }
            return contender.program == "ping" ? "\(grouped(contender.rounds)) trips" : megabytes(contender.bytes)
        }
        let pause = contenders.filter(\.underUSL).map(\.longestPause).max() ?? .zero
        row(["\(second)"] + cells + [grouped(resets), milliseconds(pause)])
    }

    func interrupted() {
        show("interrupted")
    }

    /// - Returns: whether USL kept its promise, and was put to the test.
    func verdict(_ contenders: [Contender], resets: Int) -> Bool {
        show("")
        for contender in contenders where !contender.underUSL {
            let name = contender.program == "ping" ? "ping-pong" : "bulk transfer"
            if let death = contender.death {
                show(
                    "plain \(name): " + colored("died in second \(Self.ordinal(death.after))", .red)
                        + " (\(death.reason))")
            } else {
                show("plain \(name): " + (contender.isVerified ? "survived" : "did not end"))
            }
        }
        let ours = contenders.filter(\.underUSL)
        for contender in ours where !contender.isVerified {
            let reason = contender.death?.reason ?? "did not end, or its server did not get everything"
            show("USL \(contender.program): " + colored("FAILED", .red) + " (\(reason))")
            for (name, side) in [("client", contender.client), ("server", contender.server)] {
                guard let side else { continue }
                show("  \(name): \(side.standardOutput.split(separator: "\n").last ?? "") \(side.standardError)")
            }
        }
        let pause = ours.map(\.longestPause).max() ?? .zero
        guard ours.allSatisfy(\.isVerified) else { return false }
        guard resets > 0 else {
            show(colored("USL: the attack has reset no link, so nothing is shown", .red))
            return false
        }
        let trips = grouped(ours.reduce(0) { $0 + $1.rounds })
        let volume = megabytes(ours.reduce(0) { $0 + $1.bytes })
        let result = "\(grouped(resets)) resets survived, 0 bytes lost, longest pause \(milliseconds(pause))"
        show("USL: " + colored(result, .green) + " (\(trips) round trips, \(volume), every byte verified at both ends)")
        return true
    }

    /// Says on the standard error why there is no demo.
    static func complain(_ text: String) {
        let line = Array("usl: \(text)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
    }

    // MARK: - Text

    private enum Color: String {
        case red = "31"
        case green = "32"
        case yellow = "33"
    }

    private func colored(_ text: String, _ color: Color) -> String {
        isTerminal ? "\u{1b}[\(color.rawValue)m\(text)\u{1b}[0m" : text
    }

    private func row(_ cells: [String]) {
        show(
            zip(cells, Self.widths).map { cell, width in
                let padded = String(repeating: " ", count: max(0, width - cell.count)) + cell
                return cell.hasPrefix("died") ? colored(padded, .red) : padded
            }.joined(separator: "  "))
    }

    private func show(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        _ = write(STDOUT_FILENO, bytes, bytes.count)
    }

    /// The second that a moment lies in, counted from 1.
    private static func ordinal(_ moment: Duration) -> Int { Int(moment / .seconds(1)) + 1 }

    private func milliseconds(_ duration: Duration) -> String { "\(grouped(Int(duration / .milliseconds(1)))) ms" }

    private func megabytes(_ bytes: Int) -> String {
        let tenths = bytes / 100_000
        return "\(grouped(tenths / 10)).\(tenths % 10) MB"
    }

    /// With a comma between thousands.
    private func grouped(_ number: Int) -> String {
        let digits = Array(String(number))
        return digits.indices.reduce(into: "") { text, index in
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digits[index])
        }
    }
}
