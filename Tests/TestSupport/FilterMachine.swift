public import CLinux
import Testing

/// Does what the kernel would do with a seccomp filter, instruction by instruction (in the kernel,
/// Documentation/networking/filter.rst).
public struct FilterMachine {
    public enum Answer: Equatable, Sendable {
        case ask
        case pass
        case fail(Int32)
    }

    private let filter: [sock_filter]

    public init(_ filter: [sock_filter]) { self.filter = filter }

    public func answer(
        _ call: some BinaryInteger, _ arguments: UInt64..., arch: UInt32 = UInt32(USL_AUDIT_ARCH)
    ) throws -> Answer {
        var data = seccomp_data()
        data.nr = Int32(call)
        data.arch = arch
        withUnsafeMutableBytes(of: &data.args) { room in
            for (index, argument) in arguments.enumerated() {
                room.storeBytes(of: argument, toByteOffset: index * 8, as: UInt64.self)
            }
        }
        var (accumulator, index) = (UInt32(0), 0)
        while true {
            let instruction = try #require(filter.indices.contains(index) ? filter[index] : nil)
            index += 1
            switch Int32(instruction.code) {
            case BPF_LD | BPF_W | BPF_ABS:
                accumulator = withUnsafeBytes(of: data) {
                    $0.loadUnaligned(fromByteOffset: Int(instruction.k), as: UInt32.self)
                }
            case BPF_ALU | BPF_AND | BPF_K: accumulator &= instruction.k
            case BPF_JMP | BPF_JEQ | BPF_K: index += Int(accumulator == instruction.k ? instruction.jt : instruction.jf)
            case BPF_RET | BPF_K:
                switch instruction.k {
                case UInt32(SECCOMP_RET_USER_NOTIF): return .ask
                case UInt32(SECCOMP_RET_ALLOW): return .pass
                default: return .fail(Int32(instruction.k & 0xffff))
                }
            default: try #require(Bool(false), "instruction \(instruction.code) is not expected")
            }
        }
    }
}
