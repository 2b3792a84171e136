// The entry of libFuzzer. One program holds all targets, so that it is built once; the environment picks one.
// Compiled together with the sources that it tests, as one module: see scripts/fuzz.

import Glibc

/// What reads bytes from a peer, or from a file.
enum FuzzTarget: String {
    /// ``FrameDecoder``, in pieces and at once.
    case frames
    /// The payloads of OPEN to GONE.
    case handshake
    /// A session, by a sequence of operations: whatever its driver, its application and a proven but hostile peer do.
    case session
    /// The messages between the preload library and the agent.
    case control
    /// `usl.toml`, which nobody but its owner writes, and which must not end a gateway all the same.
    case configuration
    /// What a front answers to a probe, and the file of what was found.
    case detection
    /// SOCKS5 and HTTP CONNECT, of programs that use a SOCKS port.
    case socks

    static let chosen: FuzzTarget = {
        let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            fputs("FUZZ_TARGET is one of: frames handshake session control configuration detection socks\n", stderr)
            exit(2)
        }
        return target
    }()

    func run(_ input: [UInt8]) {
        switch self {
        case .frames: fuzzFrames(input)
        case .handshake: fuzzHandshake(input)
        case .session: fuzzSession(input)
        case .control: fuzzControl(input)
        case .configuration: fuzzConfiguration(input)
        case .detection: fuzzDetection(input)
        case .socks: fuzzSocks(input)
        }
    }
}

@c(LLVMFuzzerTestOneInput)
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    FuzzTarget.chosen.run([UInt8](UnsafeBufferPointer(start: data, count: size)))
    return 0
}

/// Takes values out of an input, and zeros behind its end.
struct FuzzInput {
    private let bytes: [UInt8]
    private var cursor = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    var isEmpty: Bool { cursor >= bytes.count }

    mutating func byte() -> UInt8 {
        guard cursor < bytes.count else { return 0 }
        cursor += 1
        return bytes[cursor - 1]
    }

    mutating func below(_ bound: Int) -> Int { bound > 0 ? Int(byte()) % bound : 0 }

    mutating func word() -> UInt64 { (0..<8).reduce(0) { word, _ in word << 8 | UInt64(byte()) } }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<min(count, bytes.count - cursor)).map { _ in byte() } }
}

/// Says what is wrong, which an optimised `precondition` does not.
func require(_ condition: Bool, _ message: @autoclosure () -> String = "", file: String = #file, line: Int = #line) {
    if !condition { fail(message(), file: file, line: line) }
}

func fail(_ message: String, file: String = #file, line: Int = #line) -> Never {
    fputs("\(file):\(line): \(message)\n", stderr)
    abort()
}
