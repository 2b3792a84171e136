import SessionProtocol

// Attacks by those who can read everything but have no key.
extension World {
    /// Many more of them take time and find nothing new.
    private static let attackLimit = 100

    func overhear(_ frame: [UInt8], from role: Role) { overheard[role.index].append(frame) }

    func scheduleAttack() {
        guard let pause = scenario.faults.attacks, statistics[.attack] < World.attackLimit else { return }
        schedule.add(.attack, at: now + random.interval(upTo: pause * 2) + .milliseconds(1))
    }

    /// A connection to the gateway by someone who has overheard everything but has no key.
    func attack() {
        guard isFaulty else { return }
        statistics.note(.attack)
        let id = connect(.attacker, .gateway, path: 0)
        handle(.accepted(id))
        let flight = Wire.preface + forgery()
        trace.note("connection \(id) is an attacker's, of \(flight.count) bytes")
        _ = write(
            flight.prefix(random.chance(0.1) ? random.below(flight.count + 1) : flight.count), to: id, by: .opener)
        schedule.add(.end(id, at: .opener, .closed), at: now + random.interval(upTo: .seconds(2)))
        scheduleAttack()
    }

    private func forgery() -> [UInt8] {
        let said = overheard[Role.opener.index]
        let heard = overheard[Role.acceptor.index]
        switch random.below(6) {
        case 0 where !said.isEmpty: return random.pick(said)
        case 1 where !said.isEmpty: return altered(random.pick(said))
        case 2 where !heard.isEmpty:
            // A reflected proof: ATTACHED, called ATTACH.
            var frame = random.pick(heard)
            frame[0] = FrameType.attach.rawValue
            return frame
        case 3: return openMessage.encoded
        case 4: return altered(openMessage.encoded)
        default: return random.bytes(random.below(100))
        }
    }

    /// One byte changed: an epoch, a position, the session, the proof, a length. Not the type: OPENED made GONE has no
    /// proof and the right instance, which only TLS keeps from one who has read it.
    private func altered(_ frame: [UInt8]) -> [UInt8] {
        var frame = frame
        frame[1 + random.below(frame.count - 1)] ^= UInt8(1 << random.below(8))
        return frame
    }

    /// Another machine, reached at the gateway's address, answers OPEN or ATTACH.
    func impersonate(_ id: ConnectionID) {
        guard !connections[id].isAnswered else { return }
        connections[id].isAnswered = true
        let heard = overheard[Role.acceptor.index]
        var answer: [UInt8] = []
        switch random.below(6) {
        case 0 where opener.session.isOpen:
            // Its own, true word on a session that it has never had; before OPENED that word would count.
            let gone = GoneMessage(reason: .unknown, instance: admission.instance &+ 1, positions: nil)
            answer = Wire.preface + gone.encoded
        case 1 where !heard.isEmpty: answer = Wire.preface + random.pick(heard)
        case 2 where !heard.isEmpty: answer = Wire.preface + altered(random.pick(heard))
        case 3: answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
        case 4: answer = Array("USL/2\r\n\0".utf8)
        default: break
        }
        _ = write(answer[...], to: id, by: .acceptor)
        // It may have relayed OPENED or ATTACHED, and keep silent then while its kernel acknowledges.
        schedule.add(.end(id, at: .acceptor, .closed), at: now + random.interval(upTo: .seconds(100)))
    }
}
