import CLinux
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
}

extension SocketAddress {
    /// Reads the kernel's form; nil if it is neither IPv4 nor IPv6, or too short.
    public init?(_ bytes: AddressBytes) {
        var storage = sockaddr_storage()
        withUnsafeMutableBytes(of: &storage) {
            for index in 0..<bytes.count { $0[index] = bytes[index] }
        }
        let address = withUnsafePointer(to: &storage) {
            SocketAddress(
                UnsafeRawPointer($0).assumingMemoryBound(to: sockaddr.self), length: socklen_t(bytes.count))
        }
        guard let address else { return nil }
        self = address
    }
}
