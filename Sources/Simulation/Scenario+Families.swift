import SessionProtocol

// What a seed makes of each family.
extension Scenario {
    init(_ family: Family, _ random: inout SplitMix) {
        self.family = family
        let scale = random.pick([0, 200, 200, 5_000, 5_000, 5_000, 50_000, 50_000, 400_000])
        // At most some hundred pieces, so that every run is short.
        pieceSize = max(random.size(upTo: 65_536), scale / 200)
        // Any socket takes a handshake at once.
        pipeCapacity = max(random.size(upTo: 262_144), pieceSize, 1_024)
        receiveBuffer = max(random.size(upTo: 262_144), pieceSize)
        targetDelay = random.interval(upTo: family == .calm ? .seconds(1) : .seconds(3))
        targetRefuses = random.chance(0.02)
        paths = [Path(family, &random)]
        switch family {
        case .plain, .calm, .silence, .roam, .expiry, .stopped, .crash: break
        case .failover: mode = .failover
        case .mirror: mode = .mirror
        case .stripe: mode = .stripe
        case .mixed: mode = random.pick(LinkMode.allCases)
        }
        switch family {
        case .plain, .silence, .roam, .expiry, .stopped, .crash: break
        case .calm:
            mode = random.pick(LinkMode.allCases)
            let isEqual = random.chance(0.5)
            for _ in 0..<random.pick([0, 0, 0, 1, 2]) { paths.append(isEqual ? paths[0] : Path(family, &random)) }
        case .failover, .mirror, .stripe: for _ in 0..<random.pick([1, 1, 2]) { paths.append(Path(family, &random)) }
        case .mixed: for _ in 0..<random.pick([0, 1, 2]) { paths.append(Path(family, &random)) }
        }
        opener = Application(family, &random, scale: scale)
        acceptor = Application(family, &random, scale: scale)
        if opener.ending == .finishesAfterEOF, acceptor.ending == .finishesAfterEOF {
            // Two applications that wait for each other's end are at a deadlock of their own making.
            opener.ending = .finishes
        }
        faults = Faults(family, &random)
    }
}

extension Scenario.Path {
    fileprivate init(_ family: Family, _ random: inout SplitMix) {
        switch family {
        case .calm:
            latency = random.interval(upTo: .seconds(1))
            jitter = random.chance(0.5) ? random.interval(upTo: latency / 4) : .zero
            // 1 Mbit/s to 100 Mbit/s.
            rate = random.chance(0.5) ? random.pick([125_000, 125_000, 1_250_000, 12_500_000]) : nil
        case .plain, .silence, .roam, .expiry, .stopped, .crash, .failover, .mirror, .stripe, .mixed:
            latency = random.interval(upTo: .milliseconds(random.chance(0.1) ? 1_000 : 100))
            jitter = random.chance(0.5) ? random.interval(upTo: .milliseconds(50)) : .zero
            rate = random.chance(0.1) ? random.pick([125_000, 1_250_000]) : nil
        }
        if family == .silence || family == .mixed { loss = random.chance(0.4) ? random.pick([0.01, 0.05, 0.3]) : 0 }
    }
}

extension Scenario.Faults {
    fileprivate init(_ family: Family, _ random: inout SplitMix) {
        switch family {
        case .plain: self.init(plain: &random)
        case .calm:
            self.init()
            healsAfter = random.interval(upTo: random.pick([.seconds(60), .seconds(60), .hours(1)]))
            pause = healsAfter / random.pick([4, 40]) + .milliseconds(100)
            weights = random.pick([
                [], [], [(.stop, 1)], [(.stop, 4), (.neighbour, 1), (.shortage, 1)], [(.neighbour, 1)],
            ])
            longestStop = .seconds(30)
            stopsBehindPing = weights.contains { $0.fault == .stop } ? random.pick([0, 0.3]) : 0
        case .silence:
            self.init(plain: &random)
            healsAfter = random.interval(upTo: .seconds(120))
            pause = random.interval(upTo: .seconds(20)) + .milliseconds(10)
            weights = [(.forgotten, 3), (.blackhole, 3), (.cut, 1), (.stall, 1), (.neighbour, 1), (.shortage, 1)]
        case .roam:
            self.init(plain: &random)
            healsAfter = random.interval(upTo: .seconds(120))
            pause = random.interval(upTo: .seconds(20)) + .milliseconds(10)
            weights = [(.address, 6), (.forgotten, 1), (.cut, 1)]
        case .expiry:
            self.init(plain: &random)
            healsAfter = random.interval(upTo: .seconds(600))
            pause = random.interval(upTo: .seconds(60)) + .milliseconds(10)
            weights = [(.outage, 3), (.blackhole, 2), (.address, 2), (.cut, 1)]
            longestOutage = .seconds(300)
            longestSilence = .seconds(300)
        case .stopped:
            self.init(plain: &random)
            weights = [(.stop, 5), (.cut, 3), (.stall, 1)] + (random.chance(0.3) ? [(.forgotten, 2)] : [])
            longestStop = random.pick([.seconds(1), .seconds(10), .seconds(90)])
        case .crash:
            self.init(plain: &random)
            weights = [(.crash, 8), (.bothCrash, 2), (.cut, random.pick([0, 2, 6])), (.stall, 1)]
            longestRestart = random.pick([.milliseconds(50), .milliseconds(300), .seconds(5)])
        case .failover, .mirror, .stripe:
            self.init(plain: &random)
            healsAfter = random.interval(upTo: .seconds(60))
            pause = random.interval(upTo: .seconds(5)) + .milliseconds(10)
            weights = [
                (.forgotten, 3), (.blackhole, 3), (.cut, 3), (.stall, 1), (.address, 1), (.pathRemoved, 2),
                (.crash, random.pick([0, 0, 2])),
            ]
        case .mixed:
            self.init(plain: &random)
            healsAfter = random.interval(upTo: .seconds(90))
            pause = random.interval(upTo: .seconds(5)) + .milliseconds(10)
            weights = Fault.allCases.filter { $0 != .attack && random.chance(0.6) }.map { ($0, 1 + random.below(4)) }
            longestOutage = random.pick([.seconds(5), .seconds(60)])
        }
    }

    /// Each seed leaves most faults out, so that those it has meet each other undisturbed (swarm testing: Groce et al.,
    /// ISSTA 2012).
    private init(plain random: inout SplitMix) {
        guard random.chance(0.95) else { return }
        healsAfter = random.interval(upTo: .seconds(40))
        pause =
            random.interval(upTo: random.pick([.milliseconds(50), .milliseconds(500), .seconds(4)])) + .milliseconds(1)
        weights = [
            (.cut, random.chance(0.7) ? 16 : 0), (.stall, random.chance(0.4) ? 3 : 0),
            (.outage, random.chance(0.4) ? 2 : 0),
        ]
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
    fileprivate init(_ family: Family, _ random: inout SplitMix, scale: Int) {
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
        switch family {
        case .plain: break
        case .expiry: suspendLimit = random.pick([.seconds(1), .seconds(5), .seconds(30), .seconds(120), .hours(1)])
        case .crash, .failover, .mirror, .stripe:
            if random.chance(0.1) { writePause = random.interval(upTo: .seconds(20)) }
        case .calm, .silence, .roam, .stopped, .mixed:
            // Idle for a while, now and then; slow to read; not reading at all for a long time.
            if random.chance(0.4) { writePause = random.interval(upTo: .seconds(random.pick([3, 60]))) }
            if random.chance(0.2) { readPause = random.interval(upTo: .seconds(20)) }
            if random.chance(0.2) { readsAfter = random.interval(upTo: .hours(1)) }
        }
    }
}
