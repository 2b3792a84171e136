import Engine
import Kernel
import SessionProtocol
import SystemPackage
import Transport

// An application that has connected its socket hears that nobody is at the other end as it would without a relay: from the kernel
// (udp(7)). So for a moment, nobody is.

extension DatagramRelay {
    /// How long an application that was refused everywhere is until others are refused too: as long as the kernel may take
    /// to tell it.
    private static let refusalPeriod = Interval.milliseconds(10)
    /// The application connects its socket to this address.
    ///
    /// - Parameter copy: of the socket: what the kernel says, it says to who sends.
    func keep(_ copy: consuming Descriptor) { self.copy = DatagramSocket(owning: copy) }

    /// Nothing is left to be tried.
    func refuse(_ error: Errno) {
        guard error == .connectionRefused, let sender, copy != nil, refusalEnd == nil else { return }
        do throws(Errno) {
            // A socket that stands for a donated one is not connected, and hears of it all the same.
            let peer = try? copy?.remoteAddress().unmapped
            guard peer == nil || peer == address else { return }
            try socket.connect(to: address)
            refusalEnd = loop.now + Self.refusalPeriod
            isBoundToSender = true
            try copy?.send(UnsafeRawBufferPointer(start: nil, count: 0), to: peer == nil ? address : nil)
            surroundings.explain("\(application.destination) refuses; \(sender) is told")
        } catch {
            // It waits, as for an answer that is lost.
        }
        setTimer()
    }

    func releaseCopy() {
        guard let socket = copy.take() else { return }
        // From here on, whether it is still there can be found out by its address.
        if sender == nil, let local = try? socket.localAddress(), local.port != 0 { sender = local.unmapped }
    }

    func endRefusal() {
        refusalEnd = nil
        copy = nil
        // Back to the application, and to it alone: without a peer, the socket would lose its port.
        if let sender { try? socket.connect(to: sender) }
    }
}
