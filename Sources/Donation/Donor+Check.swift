import SystemPackage
import Trapping

extension Donor {
    /// What this machine lacks for donated sockets, for people; nil if nothing. This process must have one thread only.
    public static func lack() -> String? {
        do throws(Errno) {
            if let lack = try ForkedTrial.lack(CallFilter.tryInstalling) { return lack }
            // Without a program, it ends when it sees the end of the channel.
            return try ForkedTrial.lack { run($0, askingAt: "", datagramPorts: []) }
        } catch {
            return "\(error)"
        }
    }
}
