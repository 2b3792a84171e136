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
    /// nil: the program's datagrams are its own.
    let datagrams: DatagramPlace?

    /// Makes it, and moves this process there, which has one thread only.
    ///
    /// - Parameter withDatagrams: whether it is for sockets of UDP as well.
    init(withDatagrams: Bool) throws {
        let host = HostAddresses()
        let settings = NetworkSettings()
        try PrivateNamespace.enter(host, withDatagrams: withDatagrams)
        settings.apply()
        let (gate4, gate6) = try Place.gates()
        let datagrams = withDatagrams ? try Place.datagrams(hasIPv6: gate6 != nil) : nil
        let queue = try Place.queue(leadingTo: gate4, gate6, datagrams?.ports)
        let notice = try UnreachableNotice()
        namespace = try NetworkNamespace.own()
        hosts = Set(host.networks.map(\.address))
        self.gate4 = gate4
        self.gate6 = gate6
        self.queue = queue
        self.notice = notice
        diagnosis = try? SocketDiagnosis()
        self.datagrams = datagrams
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

    private static func datagrams(hasIPv6: Bool) throws(PrivateNamespace.Failure) -> DatagramPlace {
        do throws(Errno) {
            return try DatagramPlace(hasIPv6: hasIPv6)
        } catch {
            throw PrivateNamespace.Failure(step: "take datagrams with NFQUEUE and raw sockets", code: error)
        }
    }

    private static func queue(
        leadingTo gate4: Gate, _ gate6: Gate?, _ datagrams: (UInt16, UInt16?)?
    ) throws(PrivateNamespace.Failure) -> PacketQueue {
        do throws(Errno) {
            try HoldRules.install(gate4: gate4.port, gate6: gate6?.port, datagrams: datagrams)
            return try PacketQueue(HoldRules.queue, snapshot: PacketQueue.headers)
        } catch {
            throw PrivateNamespace.Failure(step: "hold connections with nf_tables and NFQUEUE", code: error)
        }
    }
}
