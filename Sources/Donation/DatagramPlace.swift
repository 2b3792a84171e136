import CLinux
import Kernel
import SystemPackage

/// What a private namespace has for datagrams.
final class DatagramPlace {
    let gate4: DatagramGate
    /// nil where the kernel has no IPv6.
    let gate6: DatagramGate?
    let queue: PacketQueue
    let writer: PacketWriter
    /// nil where the kernel cannot be asked.
    let diagnosis: SocketDiagnosis?

    /// Makes it in this thread's network namespace.
    init(hasIPv6: Bool) throws(Errno) {
        gate4 = try DatagramGate(family: AF_INET)
        gate6 = hasIPv6 ? try DatagramGate(family: AF_INET6) : nil
        queue = try PacketQueue(HoldRules.datagramQueue, snapshot: PacketQueue.nearlyAll)
        writer = try PacketWriter(hasIPv6: hasIPv6)
        diagnosis = try? SocketDiagnosis()
    }

    var ports: (UInt16, UInt16?) { (gate4.port, gate6?.port) }
}
