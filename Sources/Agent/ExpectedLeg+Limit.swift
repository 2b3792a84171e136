import Interception
import SessionProtocol

extension ExpectedLeg {
    /// How long an application may take from the verdict to its connection: it is inside connect() already, but may have to ask
    /// for the verdict again. One of Multipath TCP that is held comes with its next SYN, and the kernel sends these at distances
    /// which double (tcp(7), `tcp_syn_retries`): 32 s at the end of the 30 s for which a gateway is tried.
    var legLimit: Interval { .seconds(isMultipath ? 40 : 10) }
}
