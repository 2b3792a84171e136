import CLinux

/// The limit on open files (`RLIMIT_NOFILE`).
public enum DescriptorLimit {
    /// Raises the soft limit to the hard one. The soft limit is for programs that use select(2); here every connection
    /// takes a descriptor or two. Nothing else changes if that fails.
    public static func raise() {
        guard var limit else { return }
        limit.rlim_cur = limit.rlim_max
        _ = set(limit)
    }

    /// How many descriptors this process may have.
    public static var current: Int { limit.map { Int(clamping: $0.rlim_cur) } ?? 1024 }

    /// How many descriptors this process could have.
    public static var most: Int { limit.map { Int(clamping: $0.rlim_max) } ?? 1024 }

    /// Whether a process of this user could have so many; raising the hard limit takes CAP_SYS_RESOURCE.
    public static func canHave(_ count: Int) -> Bool {
        if count <= most { return true }
        guard let before = limit else { return false }
        var wanted = before
        wanted.rlim_max = rlim_t(count)
        guard set(wanted) else { return false }
        _ = set(before)
        return true
    }

    private static var resource: __rlimit_resource_t { __rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)) }

    private static var limit: rlimit? {
        var limit = rlimit()
        return getrlimit(resource, &limit) == 0 ? limit : nil
    }

    private static func set(_ limit: rlimit) -> Bool { withUnsafePointer(to: limit) { setrlimit(resource, $0) == 0 } }
}
