/// Which keys the other end of a link may have.
public enum AcceptedKeys: Sendable, Equatable {
    /// Any: the caller looks at `TLSConnection.peerFingerprint` and decides, before it sends or believes anything.
    case any
    /// These and no others.
    case only(Set<Fingerprint>)

    func contains(_ fingerprint: Fingerprint) -> Bool {
        switch self {
        case .any: true
        case .only(let fingerprints): fingerprints.contains(fingerprint)
        }
    }
}
