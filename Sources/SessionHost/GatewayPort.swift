/// Where agents look for a gateway.
public enum GatewayPort {
    /// Where a gateway listens by default.
    public static let standard: UInt16 = 7117
}
