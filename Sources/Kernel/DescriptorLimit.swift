import CLinux

/// The limit on open files (`RLIMIT_NOFILE`).
public enum DescriptorLimit {
    /// Raises the soft limit to the hard one. The soft limit is for programs that use select(2); here every connection
    /// takes a descriptor or two. Nothing else changes if that fails.
    public static func raise() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit)
    }

    /// How many descriptors this process could have.
    public static var most: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_max)
    }

    /// Whether a process of this user could have so many; raising the hard limit takes CAP_SYS_RESOURCE.
    public static func canHave(_ count: Int) -> Bool {
        if count <= most { return true }
        var before = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &before) == 0 else { return false }
        var wanted = before
        wanted.rlim_max = rlim_t(count)
        guard setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &wanted) == 0 else { return false }
        setrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &before)
        return true
    }

    /// How many descriptors this process may have.
    public static var current: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(UInt32(RLIMIT_NOFILE.rawValue)), &limit) == 0 else { return 1024 }
        return Int(clamping: limit.rlim_cur)
    }
}
