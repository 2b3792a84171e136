import CLinux
import Interception
import Kernel
import SystemPackage

/// The private namespace that this process is in, with all that it takes to hold SYNs there.
struct Place: ~Copyable {
    /// Its addresses, which are those of the machine outside.
    let hosts: Set<SocketAddress.Host>
    /// nil before Linux 5.14.
    let namespace: NetworkNamespace?
    let gate4: Gate
    /// nil where the kernel has no IPv6.
    let gate6: Gate?
    let queue: PacketQueue
    let notice: UnreachableNotice
    /// nil where the kernel cannot be asked; then, the program's own listeners are reached by way of the agent.
    let diagnosis: SocketDiagnosis?

    /// Makes it, and moves this process there, which has one thread only.
    init() throws {
        let host = HostAddresses()
        let settings = NetworkSettings()
        try PrivateNamespace.enter(host)
        settings.apply()
        let (gate4, gate6) = try Place.gates()
        let queue = try Place.queue(leadingTo: gate4, gate6)
        let notice = try UnreachableNotice()
        namespace = try NetworkNamespace.own()
        hosts = Set(host.networks.map(\.address))
        self.gate4 = gate4
        self.gate6 = gate6
        self.queue = queue
        self.notice = notice
        diagnosis = try? SocketDiagnosis()
    }

    private static func gates() throws -> (Gate, Gate?) {
        do throws(Errno) {
            return (try Gate(family: AF_INET), try gate6())
        } catch .notPermitted {
            throw PrivateNamespace.Failure(
                step: "make sockets in the private namespace: another supervisor makes them for this process",
                code: .notPermitted)
        }
    }

    private static func gate6() throws(Errno) -> Gate? {
        do throws(Errno) { return try Gate(family: AF_INET6) } catch .addressFamilyNotSupported { return nil }
    }

    private static func queue(leadingTo gate4: Gate, _ gate6: Gate?) throws(PrivateNamespace.Failure) -> PacketQueue {
        do throws(Errno) {
            try HoldRules.install(gate4: gate4.port, gate6: gate6?.port)
            return try PacketQueue()
        } catch {
            throw PrivateNamespace.Failure(step: "hold connections with nf_tables and NFQUEUE", code: error)
        }
    }
}
