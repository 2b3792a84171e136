/// What a schedule is about. It follows from the seed, so that one range of seeds has all of them.
public enum Family: String, CaseIterable, Sendable {
    /// Connections that break, attackers, impostors.
    case plain
    /// Nothing is wrong: slow paths, long round trips, applications that do not read, processes that are stopped.
    /// Nothing may be done about it.
    case calm
    /// Connections and paths that fall silent, and paths that lose packets.
    case silence
    /// The opener's address changes.
    case roam
    /// Long outages and short limits.
    case expiry
    /// Processes that are stopped while connections break.
    case stopped
    /// Processes that are killed, at one end and at both, and their successors.
    case crash
    /// Several paths: one link carries everything.
    case failover
    /// Several paths: each link carries everything.
    case mirror
    /// Several paths: each link carries a share.
    case stripe
    /// All of it together.
    case mixed

    public init(seed: UInt64) {
        self = Family.allCases[Int(seed % UInt64(Family.allCases.count))]
    }
}
