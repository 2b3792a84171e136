extension Rule {
    /// Takes a rule apart.
    init(_ reader: inout SectionReader, at origin: RuleOrigin) {
        self.init(at: origin)
        readConditions(&reader)
        readTreatment(&reader)
        readSession(&reader)
        readAttempts(&reader)
        checkTreatment(&reader)
    }

    private mutating func readConditions(_ reader: inout SectionReader) {
        reader.values("protocol", Word<ConnectionFacts.ConnectionProtocol>.self) { protocols = $0 }
        reader.values("program", ProgramReader.self) { programs = $0 }
        reader.values("user", UserReader.self) { users = $0 }
        reader.values("destination", DestinationReader.self) { destinations = $0 }
        reader.values("port", PortReader.self) { ports = $0 }
        reader.values("local", NetworkReader.self) { locals = $0 }
    }

    private mutating func readTreatment(_ reader: inout SectionReader) {
        // There are no sessions of datagrams.
        if !protocols.contains(.tcp) { verdict.treatment = .shim }
        reader.value("treatment", Word<Treatment>.self) { verdict.treatment = $0 }
        if !protocols.contains(.tcp), verdict.treatment == .session {
            reader.note(
                "'rule.treatment' cannot be \"session\" for protocol \"udp\"; did you mean \"shim\"?", at: "treatment")
        }
    }

    private mutating func readSession(_ reader: inout SectionReader) {
        reader.value("gateway", GatewayReader.self) { verdict.gateway = $0 }
        reader.value("links", Word<LinkUse>.self) { verdict.links = $0 }
        reader.values("sources", atMost: Self.maximumSources, SourceReader.self) { verdict.sources = $0 }
        reader.value("transport", Word<TransportName>.self) { verdict.transport = $0 }
        reader.value("suspend", in: Limits.suspendRange, DurationText.self) { verdict.suspend = $0 }
        reader.value("pin", PinReader.self) { verdict.pin = $0 }
        reader.value("detection", Word<DetectionMode>.self) { verdict.detection = $0 }
    }

    private mutating func readAttempts(_ reader: inout SectionReader) {
        reader.section("attempts") { attempts in
            attempts.value("delay", in: AttemptLimits.delayRange, DurationText.self) { verdict.attempts.delay = $0 }
            attempts.value("budget", in: AttemptLimits.budgetRange, DurationText.self) { verdict.attempts.budget = $0 }
            attempts.value("at-once", in: AttemptLimits.atOnceRange, CountText.self) { verdict.attempts.atOnce = $0 }
        }
        reader.values("addresses", AddressReader.self) { verdict.addresses = $0 }
        reader.value("reverse-lookup", Word<ReverseLookup>.self) { verdict.reverseLookup = $0 }
        reader.value("private-addresses", TruthReader.self) { verdict.allowsPrivateAddresses = $0 }
    }

    /// A key that cannot have an effect is a mistake: something else was meant.
    private func checkTreatment(_ reader: inout SectionReader) {
        let idle: [String] =
            switch verdict.treatment {
            case .session: []
            case .shim: Self.sessionKeys
            case .shimSources: Self.sessionKeys + Self.addressKeys
            case .direct, .refuse: Self.sessionKeys + Self.addressKeys + ["sources", "transport", "attempts"]
            }
        for key in idle where reader.has(key) {
            reader.note("'rule.\(key)' does nothing with treatment \"\(verdict.treatment.rawValue)\"", at: key)
        }
    }

    private static let sessionKeys = ["gateway", "links", "suspend", "pin", "detection"]
    private static let addressKeys = ["addresses", "reverse-lookup", "private-addresses"]
    /// As many paths as one session can have.
    static let maximumSources = 8
}
