import CLinux
import Kernel

// The messages between the launcher, the process that the user started and the shell waits for, and the keeper, over a
// SOCK_SEQPACKET socket between two forks of one program.

/// What the keeper tells the launcher.
enum LauncherMessage: Equatable {
    /// The program runs.
    case started(pid_t)
    /// It could not be started; the keeper has said why. The launcher exits with this status.
    case failed(UInt8)
    /// A signal has stopped the program.
    case stopped(Int32)
    case ended(Termination)
    /// The program has ended, and so many bytes are still on their way, most of them to the destination.
    case draining(undelivered: UInt64, destination: String)
    /// Nothing is on its way any more, but so many bytes were lost.
    case finished(lost: UInt64)
}

/// What the launcher tells the keeper.
enum LauncherRequest: Equatable {
    /// A process sent the launcher this signal; it was meant for the program.
    case forward(Int32)
    /// The launcher was continued: so should be the program, if it is stopped.
    case resume
    /// The user does not want to wait for what is on its way.
    case giveUp
}

// MARK: - Bytes

extension LauncherMessage {
    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .started(let pid):
            writer.write(UInt8(1))
            writer.write(pid)
        case .failed(let status):
            writer.write(UInt8(2))
            writer.write(status)
        case .stopped(let signal):
            writer.write(UInt8(3))
            writer.write(signal)
        case .ended(.exited(let status)):
            writer.write(UInt8(4))
            writer.write(status)
        case .ended(.signaled(let signal)):
            writer.write(UInt8(5))
            writer.write(signal)
        case .draining(let undelivered, let destination):
            writer.write(UInt8(6))
            writer.write(undelivered)
            writer.write(text: destination)
        case .finished(let lost):
            writer.write(UInt8(7))
            writer.write(lost)
        }
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        switch reader.read(UInt8.self) {
        case 1: guard let pid = reader.read(pid_t.self) else { return nil }; self = .started(pid)
        case 2: guard let status = reader.read(UInt8.self) else { return nil }; self = .failed(status)
        case 3: guard let signal = reader.read(Int32.self) else { return nil }; self = .stopped(signal)
        case 4: guard let status = reader.read(UInt8.self) else { return nil }; self = .ended(.exited(status))
        case 5: guard let signal = reader.read(Int32.self) else { return nil }; self = .ended(.signaled(signal))
        case 6:
            guard let undelivered = reader.read(UInt64.self) else { return nil }
            self = .draining(undelivered: undelivered, destination: reader.readText())
        case 7: guard let lost = reader.read(UInt64.self) else { return nil }; self = .finished(lost: lost)
        default: return nil
        }
    }
}

extension LauncherRequest {
    func encoded() -> [UInt8] {
        var writer = ByteWriter()
        switch self {
        case .forward(let signal):
            writer.write(UInt8(1))
            writer.write(signal)
        case .resume: writer.write(UInt8(2))
        case .giveUp: writer.write(UInt8(3))
        }
        return writer.bytes
    }

    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        switch reader.read(UInt8.self) {
        case 1: guard let signal = reader.read(Int32.self) else { return nil }; self = .forward(signal)
        case 2: self = .resume
        case 3: self = .giveUp
        default: return nil
        }
    }
}
