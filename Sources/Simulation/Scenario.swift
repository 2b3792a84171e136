import SessionProtocol

/// Everything that one seed decides in advance: which faults there are at all and how often, what the applications
/// do, and how large everything is. Each seed leaves most faults out, so that those it has meet each other undisturbed
/// (swarm testing: Groce et al., ISSTA 2012).
struct Scenario {
    struct Faults {
        /// The faults end here.
        var healsAfter = Interval.zero
        /// Mean time between two faults that hit a connection which has been up for a while, and which of them it is
        /// how often.
        var pause = Interval.seconds(1)
        var weights: [(fault: Fault, weight: Int)] = []
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
        var longestOutage = Interval.seconds(5)
        var longestSilence = Interval.seconds(20)
        /// Share of the PINGs behind which their process is stopped: it waits for an answer that it cannot read.
        var stopsBehindPing = 0.0
        var longestStop = Interval.seconds(5)
        var longestRestart = Interval.milliseconds(300)
    }

    struct Path {
        /// One way, and at most so much more.
        var latency = Interval.zero
        var jitter = Interval.zero
        /// Bytes in a second, each way; nil without a limit.
        var rate: UInt64?
        /// Share of the packets that TCP has to send again.
        var loss = 0.0
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
        /// It reads nothing before.
        var readsAfter = Interval.zero
        /// What the leg's kernel buffer takes.
        var legCapacity = 1
        /// What the replay buffer takes.
        var ringCapacity = 1
        var suspendLimit = Interval.hours(24)
        /// Someone drops the session at this end, this long after the start.
        var dropsAfter: Interval?
        var maximumWindow: UInt64 = 0
        var maximumData = Wire.maximumData

        /// It never keeps the network waiting for long.
        var isFast: Bool {
            let buffers = min(ringCapacity, legCapacity, Int(maximumWindow))
            return ending != .aborts && dropsAfter == nil && readPause == .zero && readsAfter == .zero
                && writePause == .zero && writeSize >= 32_768 && readSize >= 32_768 && buffers >= 131_072
        }
    }

    let family: Family
    var faults = Faults()
    var opener = Application()
    var acceptor = Application()
    /// The opener has an address on each at the start.
    var paths = [Path()]
    var mode = LinkMode.failover
    /// Most bytes that arrive at a time.
    var pieceSize = 1
    /// What a connection takes in one direction before it has arrived.
    var pipeCapacity = 1
    /// What the kernel of a process that does not read takes of one connection.
    var receiveBuffer = 1
    var targetDelay = Interval.zero
    var targetRefuses = false

    /// Several equal paths whose rate is what limits a stripe, and enough bytes to see it.
    var sharesPaths: Bool {
        isCalm && mode == .stripe && paths.count > 1 && faults.weights.isEmpty && paths[0].rate != nil
            && pipeCapacity <= Scenario.sharedTotal / 8 && opener.isFast && acceptor.isFast
    }
    /// Nothing but their round trips tells the paths apart.
    var hasBetterPath: Bool {
        isCalm && mode == .failover && paths.count > 1 && faults.weights.isEmpty && paths.allSatisfy { $0.rate == nil }
    }
    static let sharedTotal = 200_000

    /// Nothing happens that a session may take for a failure.
    var isCalm: Bool { family == .calm }
    /// What both ends keep to.
    var suspendLimit: Interval { min(opener.suspendLimit, acceptor.suspendLimit) }

    subscript(role: Role) -> Application { role == .opener ? opener : acceptor }
}
