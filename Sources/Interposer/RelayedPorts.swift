import CLinux

// The UDP ports whose datagrams concern USL, of which all others are none the slower: a look at the port is all they cost.

/// A bit for each of the 65,536 ports; nil if there is none, as in a process without an agent. Written once, by the constructor.
nonisolated(unsafe) private var listedPorts: UnsafeMutablePointer<UInt64>?

/// For the library's constructor: takes `USL_UDP_PORTS`, ports and ranges such as `53,123,5000-5010`.
func readRelayedPorts() {
    guard let text = getenv("USL_UDP_PORTS"), let bits = calloc(1024, MemoryLayout<UInt64>.size) else { return }
    let ports = bits.assumingMemoryBound(to: UInt64.self)
    var next = text
    var isEmpty = true
    while let first = readPort(&next) {
        var last = first
        if next.pointee == CChar(UInt8(ascii: "-")) {
            next += 1
            guard let port = readPort(&next) else { break }
            last = port
        }
        for port in first...max(first, last) { ports[port >> 6] |= 1 << UInt64(port & 63) }
        isEmpty = false
        guard next.pointee == CChar(UInt8(ascii: ",")) else { break }
        next += 1
    }
    if isEmpty { return free(bits) }
    listedPorts = ports
}

/// Reads a decimal number up to 65535, and steps over it.
private func readPort(_ text: inout UnsafeMutablePointer<CChar>) -> Int? {
    var port: Int?
    while case let digit = Int(text.pointee) - Int(UInt8(ascii: "0")), (0...9).contains(digit) {
        let value = (port ?? 0) * 10 + digit
        guard value <= 65_535 else { return nil }
        port = value
        text += 1
    }
    return port
}

/// Whether there is a port at all that concerns USL.
@inline(__always)
var areDatagramsRelayed: Bool { listedPorts != nil }

/// Whether datagrams to this address may concern USL.
@inline(__always)
func isListed(_ address: UnsafeRawPointer?, _ length: socklen_t) -> Bool {
    // Of both families, the port stands behind the family.
    guard let listedPorts, let address, length >= socklen_t(MemoryLayout<sockaddr_in>.size) else { return false }
    let family = Int32(address.loadUnaligned(as: sa_family_t.self))
    guard family == AF_INET || family == AF_INET6 else { return false }
    let port = Int(UInt16(bigEndian: address.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    return listedPorts[port >> 6] & 1 << UInt64(port & 63) != 0
}
