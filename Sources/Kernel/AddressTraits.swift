/// What the kernel tells of an address of this machine beside the address itself.
public struct AddressTraits: Hashable, Sendable {
    /// Not while the kernel still looks for duplicates of it (RFC 4862, 5.4).
    public var isUsable: Bool
    /// Leading bits that it shares with its neighbours: 0 to 128.
    public var prefixLength: UInt8
    /// New connections should begin elsewhere (RFC 4862, 5.5.4).
    public var isDeprecated: Bool
    /// Made to be forgotten (RFC 8981).
    public var isTemporary: Bool

    public init(isUsable: Bool, prefixLength: UInt8, isDeprecated: Bool = false, isTemporary: Bool = false) {
        self.isUsable = isUsable
        self.prefixLength = prefixLength
        self.isDeprecated = isDeprecated
        self.isTemporary = isTemporary
    }
}
