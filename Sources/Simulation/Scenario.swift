import SessionProtocol

/// Everything that one seed decides in advance: which faults there are at all and how often, what the applications
/// do, and how large everything is. Each seed leaves most faults out, so that those it has meet each other undisturbed
/// (swarm testing: Groce et al., ISSTA 2012).
struct Scenario {
    struct Faults {
        /// The faults end here.
        var healsAfter = Interval.zero
        /// Mean time between two faults that hit a connection which has been up for a while.
        var pause = Interval.seconds(1)
        /// Of these, the share that cuts and the share that stalls; the rest is an outage.
        var cutShare = 0.0
        var stallShare = 0.0
        /// Share of the connections that are cut when one direction has carried a few hundred bytes: in a handshake.
        var earlyCuts = 0.0
        /// Share of the connections that are cut when one direction has carried some thousand bytes.
        var budgetCuts = 0.0
        /// Share of the cuts after which an end learns nothing for seconds.
        var silence = 0.0
        /// Share of the cuts that hit one direction first.
        var oneWay = 0.0
        var dialFailures = 0.0
        var impostors = 0.0
        /// Mean time between two attacks on the gateway; nil for none.
        var attacks: Interval?
    }

    struct Application {
        enum Ending { case finishes, finishesAfterEOF, aborts }

        var total = 0
        var ending = Ending.finishes
        /// With ``Ending/aborts``: when.
        var abortsAfter = Interval.zero
        var writeSize = 1
        var writePause = Interval.zero
        var readSize = 1
        var readPause = Interval.zero
        /// What the leg's kernel buffer takes.
        var legCapacity = 1
        /// What the replay buffer takes.
        var ringCapacity = 1
        var suspendLimit = Interval.hours(24)
        /// Someone drops the session at this end, this long after the start.
        var dropsAfter: Interval?
        var maximumWindow: UInt64 = 0
        var maximumData = Wire.maximumData
    }

    var faults = Faults()
    var opener = Application()
    var acceptor = Application()
    var latency = Interval.zero
    var jitter = Interval.zero
    /// Most bytes that arrive at a time.
    var pieceSize = 1
    /// What a connection takes in one direction before it has arrived.
    var pipeCapacity = 1
    var targetDelay = Interval.zero
    var targetRefuses = false

    subscript(role: Role) -> Application { role == .opener ? opener : acceptor }
}

extension Scenario {
    init(_ random: inout SplitMix) {
        latency = random.interval(upTo: .milliseconds(100))
        jitter = random.chance(0.5) ? random.interval(upTo: .milliseconds(50)) : .zero
        let scale = random.pick([0, 200, 200, 5_000, 5_000, 5_000, 50_000, 50_000, 400_000])
        // At most some hundred pieces, so that every run is short.
        pieceSize = max(random.size(upTo: 65_536), scale / 200)
        pipeCapacity = max(random.size(upTo: 262_144), pieceSize, 64)
        targetDelay = random.interval(upTo: .seconds(3))
        targetRefuses = random.chance(0.02)
        faults = Faults(&random, scale: scale)
        opener = Application(&random, scale: scale)
        acceptor = Application(&random, scale: scale)
        if opener.ending == .finishesAfterEOF, acceptor.ending == .finishesAfterEOF {
            // Two applications that wait for each other's end are at a deadlock of their own making.
            opener.ending = .finishes
        }
    }
}

extension Scenario.Faults {
    fileprivate init(_ random: inout SplitMix, scale: Int) {
        guard random.chance(0.95) else { return }
        healsAfter = random.interval(upTo: .seconds(40))
        pause =
            random.interval(upTo: random.pick([.milliseconds(50), .milliseconds(500), .seconds(4)])) + .milliseconds(1)
        cutShare = random.chance(0.7) ? 0.8 : 0
        stallShare = random.chance(0.4) ? 0.15 : 0
        earlyCuts = random.chance(0.5) ? random.pick([0.2, 0.5, 0.9]) : 0
        budgetCuts = random.chance(0.6) ? random.pick([0.2, 0.5, 0.9, 0.9]) : 0
        silence = random.chance(0.4) ? random.pick([0.1, 0.5]) : 0
        oneWay = random.chance(0.4) ? random.pick([0.1, 0.5]) : 0
        dialFailures = random.chance(0.4) ? random.pick([0.1, 0.5, 0.9]) : 0
        impostors = random.chance(0.2) ? random.pick([0.1, 0.5]) : 0
        attacks = random.chance(0.3) ? random.interval(upTo: .seconds(2)) + .milliseconds(10) : nil
    }
}

extension Scenario.Application {
    fileprivate init(_ random: inout SplitMix, scale: Int) {
        total = random.chance(0.1) ? 0 : random.size(upTo: scale)
        ending = random.pick([
            .finishes, .finishes, .finishes, .finishes, .finishesAfterEOF, .finishesAfterEOF, .finishesAfterEOF,
            .aborts,
        ])
        abortsAfter = random.interval(upTo: .seconds(20))
        writeSize = max(random.size(upTo: scale), scale / 200)
        writePause = random.chance(0.7) ? random.interval(upTo: .milliseconds(200)) : .zero
        readSize = max(random.size(upTo: 65_536), scale / 200)
        readPause = random.chance(0.5) ? random.interval(upTo: .milliseconds(500)) : .zero
        legCapacity = max(random.size(upTo: 262_144), scale / 200)
        ringCapacity = max(random.size(upTo: 262_144), scale / 100, 1)
        suspendLimit = random.pick([.seconds(5), .seconds(60), .hours(1), .hours(1), .hours(1), .hours(24)])
        dropsAfter = random.chance(0.03) ? random.interval(upTo: .seconds(30)) : nil
        maximumWindow = UInt64(random.pick([65_536, 65_536, 262_144, 1 << 20]))
        maximumData = max(random.size(upTo: Wire.maximumData), scale / 200)
    }
}
