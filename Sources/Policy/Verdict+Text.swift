extension Verdict {
    /// What it says, for people: the treatment, and what goes with it and is not as it would be without a rule.
    public var text: [String] {
        let usual = Verdict(treatment)
        var lines = [treatmentText]
        func add(_ name: String, _ value: String?) { if let value { lines.append("\(name) \(value)") } }
        add("gateway", gateway?.description)
        add("pin", pin)
        add("links", links?.rawValue)
        add("sources", sources?.joined(separator: ", "))
        add("transport", transport?.rawValue)
        add("suspend", suspend.map(DurationText.text))
        if gateway == nil, treatment == .session { add("detection", detection.rawValue) }
        if attempts != usual.attempts {
            add(
                "attempts",
                "every \(DurationText.text(attempts.delay)) for \(DurationText.text(attempts.budget)), \(attempts.atOnce) at once"
            )
        }
        if !addresses.isEmpty { add("addresses", addresses.map(\.description).joined(separator: ", ")) }
        if reverseLookup != usual.reverseLookup { add("reverse-lookup", reverseLookup.rawValue) }
        if allowsPrivateAddresses { add("private-addresses", "true") }
        return lines
    }

    private var treatmentText: String {
        switch treatment {
        case .session:
            gateway == nil
                ? "session: through a gateway, if one is found at the destination; else as shim"
                : "session: through the gateway, and never without it"
        case .shim: "shim: the program's own connection, on whichever path works"
        case .shimSources: "shim-sources: the program's own connection to this address, from whichever source works"
        case .direct: "direct: left alone"
        case .refuse: "refuse: the program is told that the connection is refused"
        }
    }
}
