import CLinux
import Interception
public import Keeper
import Kernel

extension Escrow {
    /// Takes over the offer for which this gateway was started. A program that was here before has it in escrow already.
    public mutating func holdFirstOffer() {
        guard count(of: .offer) == 0 else { return }
        let inherited = Descriptor(owning: OfferChannel.inheritedNumber)
        // Not for what this process starts.
        guard let copy = try? Descriptor(owning: check(usl_fcntl(inherited.number, F_DUPFD_CLOEXEC, 0))) else { return }
        hold(own: .offer, copy)
    }
}
