extension Host {
    /// Adds to the host's packet filter what nft(8) reads, or takes away.
    public func loadRules(_ rules: String) throws(LabError) {
        _ = try succeed(["nft", "-f", "-"], input: .bytes(Array(rules.utf8)))
    }
}
