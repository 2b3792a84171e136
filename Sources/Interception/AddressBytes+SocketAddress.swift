public import CLinux
public import Kernel

extension AddressBytes {
    /// The kernel's form of `address`.
    public init(_ address: SocketAddress) {
        self = address.withSockaddr { pointer, length in
            let bytes = UnsafeRawPointer(pointer)
            // Neither `sockaddr_in` nor `sockaddr_in6` is empty or larger than the capacity.
            return AddressBytes(count: Int(length)) { bytes.load(fromByteOffset: $0, as: UInt8.self) }!
        }
    }

    /// Calls `body` with the bytes as the kernel wants them.
    public func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) {
            for index in 0..<count { $0[index] = self[index] }
        }
        return withUnsafePointer(to: &storage) {
            body(UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), socklen_t(count))
        }
    }
}

extension SocketAddress {
    /// Reads the kernel's form; nil if it is neither IPv4 nor IPv6, or too short.
    public init?(_ bytes: AddressBytes) {
        guard let address = bytes.withSockaddr({ SocketAddress($0, length: $1) }) else { return nil }
        self = address
    }
}
