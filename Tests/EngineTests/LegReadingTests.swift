import CLinux
import Kernel
import SystemPackage
import Testing
import Transport

@testable import Engine

/// What the kernel's counters tell of a leg, after everything that can happen to one.
@Suite struct LegReadingTests {
    private final class Legs {
        let leg: TCPSocket
        private var application: TCPSocket?
        private let base: LegBase

        /// - Parameter early: bytes that the application has written before anybody knew the leg.
        static func make(connecting: Bool, early: Int = 0) throws -> Legs {
            let pair = try LegPair()
            if connecting { return try Legs(pair.application, application: pair.leg, early: early) }
            return try Legs(pair.leg, application: pair.application, early: early)
        }

        private init(_ leg: consuming TCPSocket, application: consuming TCPSocket, early: Int) throws {
            try leg.setResetOnClose(true)
            put([UInt8](repeating: 1, count: early), into: application)
            let number = leg.number
            try eventually { waiting(at: number) == early }
            base = try LegReading.take(of: leg).base
            self.leg = leg
            self.application = .some(application)
        }

        /// What the application does.
        func say(_ count: Int) {
            if let number = application?.number { _ = send(number, [UInt8](repeating: 2, count: count), count, 0) }
        }
        func hear(_ count: Int) throws {
            guard let number = application?.number else { throw Errno.badFileDescriptor }
            try eventually { waiting(at: number) >= count }
            var room = [UInt8](repeating: 0, count: count)
            #expect(recv(number, &room, count, 0) == count)
        }
        func finish() throws { try application?.shutdownSending() }
        func leave() { application = nil }
        func reset() throws {
            try application?.abort()
            application = nil
        }

        func read(_ count: Int) -> Int {
            var room = [UInt8](repeating: 0, count: count)
            return recv(leg.number, &room, count, 0)
        }

        func positions(tail: UInt64, finRead: Bool = false, finWritten: Bool = false, resetSeen: Bool = false) throws
            -> LegPositions
        {
            try LegReading.take(of: leg).positions(
                LegRecord(base: base, tail: tail, finRead: finRead, finWritten: finWritten, resetSeen: resetSeen))
        }
    }

    @Test(arguments: [false, true], [0, 10]) func whatIsUnreadWasNotTaken(connecting: Bool, early: Int) throws {
        let legs = try Legs.make(connecting: connecting, early: early)
        #expect(try legs.positions(tail: 0) == LegPositions(taken: 0, delivered: 0, finDelivered: false, fate: .whole))
        legs.say(90)
        try eventually { try legs.leg.unreadBytes() == 90 + early }
        #expect(legs.read(60) == 60)
        put([UInt8](repeating: 3, count: 25), into: legs.leg)
        // The process died before it could say that it has taken more than 40.
        #expect(
            try legs.positions(tail: 40) == LegPositions(taken: 60, delivered: 25, finDelivered: false, fate: .whole))
    }

    /// A FIN counts as a byte at both ends, whether it was read or not.
    @Test(arguments: [false, true], [false, true]) func finsAreNoBytes(connecting: Bool, isRead: Bool) throws {
        let legs = try Legs.make(connecting: connecting)
        legs.say(50)
        try legs.finish()
        try eventually { try legs.leg.info().state == 8 }
        #expect(legs.read(30) == 30)
        #expect(try legs.positions(tail: 30).taken == 30)
        #expect(legs.read(100) == 20)
        if isRead { #expect(legs.read(1) == 0) }
        #expect(
            try legs.positions(tail: 30, finRead: isRead)
                == .init(
                    taken: 50, delivered: 0, finDelivered: false, fate: .whole))
        put([UInt8](repeating: 3, count: 7), into: legs.leg)
        // The flag is set before the FIN is sent: the state tells whether it was.
        #expect(
            try legs.positions(tail: 50, finRead: isRead, finWritten: true)
                == .init(
                    taken: 50, delivered: 7, finDelivered: false, fate: .whole))
        try legs.leg.shutdownSending()
        #expect(
            try legs.positions(tail: 50, finRead: isRead, finWritten: true)
                == .init(
                    taken: 50, delivered: 7, finDelivered: true, fate: .whole))
    }

    /// Both ends have closed: the state is the same as after a reset.
    @Test(arguments: [false, true]) func aCleanEndIsNoReset(isRead: Bool) throws {
        let legs = try Legs.make(connecting: false)
        put([UInt8](repeating: 3, count: 7), into: legs.leg)
        try legs.leg.shutdownSending()
        try legs.hear(7)
        legs.say(50)
        legs.leave()
        try eventually { try legs.leg.info().state == 7 }
        #expect(legs.read(30) == 30)
        #expect(
            try legs.positions(tail: 30, finWritten: true)
                == .init(
                    taken: 30, delivered: 7, finDelivered: true, fate: .whole))
        #expect(legs.read(30) == 20)
        if isRead { #expect(legs.read(1) == 0) }
        // Died before the note of the last read.
        #expect(
            try legs.positions(tail: isRead ? 50 : 30, finRead: isRead, finWritten: true)
                == .init(
                    taken: 50, delivered: 7, finDelivered: true, fate: .whole))
    }

    /// A reset is never an end of stream, whoever has already been told of it.
    @Test(arguments: [false, true], [false, true]) func aResetIsNoEnd(isTold: Bool, finWritten: Bool) throws {
        let legs = try Legs.make(connecting: false)
        legs.say(50)
        if finWritten { try legs.leg.shutdownSending() }
        try eventually { try legs.leg.unreadBytes() == 50 }
        #expect(legs.read(30) == 30)
        try legs.reset()
        try eventually { try legs.leg.info().state == 7 }
        if isTold { _ = try legs.leg.takeError() }
        #expect(try legs.positions(tail: 30, finWritten: finWritten).fate == .reset)
        #expect(try legs.positions(tail: 30, finWritten: finWritten).taken == 30)
        #expect(try legs.positions(tail: 30, finWritten: finWritten, resetSeen: true).fate == .reset)
        if !isTold || !finWritten {
            // More was taken than noted: at most one byte is given up, and none made up.
            let doubtful = try legs.positions(tail: 10, finWritten: finWritten)
            #expect(doubtful.fate == .lost && doubtful.taken == 29)
        }
    }

    @Test func whatWasAbortedOnPurposeIsLost() throws {
        let legs = try Legs.make(connecting: false)
        legs.say(50)
        try eventually { try legs.leg.unreadBytes() == 50 }
        #expect(legs.read(50) == 50)
        try legs.leg.abort()
        let positions = try legs.positions(tail: 50)
        #expect(positions.fate == .lost && positions.taken == 50)
    }
}

/// Bytes that can be read.
private func waiting(at socket: Int32) -> Int {
    var count: Int32 = 0
    return usl_ioctl_int(socket, usl_siocinq(), &count) == 0 ? Int(count) : 0
}

private func eventually(
    sourceLocation: SourceLocation = #_sourceLocation, _ condition: () throws -> Bool
) throws {
    let end = ContinuousClock.now + .seconds(10)
    while try !condition() {
        try #require(ContinuousClock.now < end, "does not come true", sourceLocation: sourceLocation)
        usleep(100)
    }
}
