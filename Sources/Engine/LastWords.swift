import SessionProtocol
import SystemPackage
public import Transport

/// Says something to a connection that is to be closed, and makes sure that it can arrive: closing a socket with unread
/// bytes resets it, and a reset overtakes what was written. So the sending side is shut, and the rest read away.
public final class LastWords {
    private static let limit = Interval.seconds(5)
    /// Bytes that are read away at most: a peer that goes on talking must not keep the loop.
    private static let patience = 1 << 20

    private let socket: TCPSocket
    private var registration: Registration?
    private var timer: TimerToken?
    private var bytesRead = 0
    private var ended: (() -> Void)?

    private init(_ socket: consuming TCPSocket) { self.socket = socket }

    /// - Parameters:
    ///   - bytes: short enough for an empty send buffer; what does not fit is lost.
    ///   - ended: called when the peer has closed, or the time for that is over; not by ``cut(on:)``.
    /// - Returns: nil if it has ended already.
    @discardableResult
    public static func say(
        _ bytes: [UInt8], over link: consuming Link, on loop: EventLoop, ended: (() -> Void)? = nil
    ) -> LastWords? {
        var link = link
        _ = link.write(bytes)
        guard (try? link.shutdown()) != nil else { return nil }
        // What the peer still says is read away, not understood.
        let words = LastWords(link.intoSocket())
        words.ended = ended
        words.registration = try? loop.register(words.socket.number, words)
        words.timer = loop.schedule(words, at: loop.now + limit)
        return words
    }

    /// Closes the connection now, whether or not the words have arrived.
    public func cut(on loop: EventLoop) {
        ended = nil
        end(on: loop)
    }

    private func end(on loop: EventLoop) {
        if let registration { loop.deregister(registration) }
        if let timer { loop.cancel(timer) }
        registration = nil
        timer = nil
        ended.take()?()
    }
}

extension LastWords: EventHandler, TimerHandler {
    public func ready(_ events: ReadyEvents, tag: UInt32, on loop: EventLoop) {
        while bytesRead < LastWords.patience {
            switch socket.receive(into: loop.scratch) {
            case .bytes(let count): bytesRead += count
            case .wouldBlock: return
            case .endOfStream, .failed: return end(on: loop)
            }
        }
        end(on: loop)
    }

    public func timerExpired(_ token: TimerToken, on loop: EventLoop) {
        timer = nil
        end(on: loop)
    }
}
