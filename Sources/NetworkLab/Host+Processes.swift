import CLinux

extension Host {
    /// The processes on this host that have a name (proc_pid_comm(5)), by their numbers for this process.
    public func processes(called name: String) -> [Int32] { allProcesses().filter { Self.name($0) == name } }

    /// What each process on this host has used of the processors so far, and its name.
    public func processorTimes() -> [Int32: (name: String, time: Duration)] {
        var times: [Int32: (name: String, time: Duration)] = [:]
        for pid in allProcesses() {
            if let name = Self.name(pid), let time = processorTime(of: pid) { times[pid] = (name, time) }
        }
        return times
    }

    private func allProcesses() -> [Int32] {
        guard let own = processSpace(initialProcess), let listing = opendir("/proc") else { return [] }
        defer { closedir(listing) }
        var found: [Int32] = []
        while let entry = readdir(listing) {
            let number = withUnsafePointer(to: &entry.pointee.d_name) {
                strtol(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self), nil, 10)
            }
            guard number > 0, let pid = Int32(exactly: number), processSpace(pid) == own else { continue }
            found.append(pid)
        }
        return found
    }

    private static func name(_ pid: Int32) -> String? {
        guard let file = fopen("/proc/\(pid)/comm", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 64)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        return String(decoding: line.prefix { $0 != 0 && $0 != 10 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Names a process's PID namespace (pid_namespaces(7)).
    private func processSpace(_ pid: Int32) -> [UInt8]? {
        var link = [UInt8](repeating: 0, count: 64)
        let count = link.withUnsafeMutableBytes {
            readlink("/proc/\(pid)/ns/pid", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
        }
        return count > 0 ? Array(link[..<count]) : nil
    }
}

/// Kilobytes of memory that a process has in use (proc_pid_status(5), `VmRSS`); nil when it is not there.
public func residentMemory(of pid: Int32) -> Int? {
    guard let file = fopen("/proc/\(pid)/status", "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        if text.hasPrefix("VmRSS:") { return text.split { !$0.isNumber }.first.flatMap { Int($0) } }
    }
    return nil
}

/// What a process has used of the processors so far, in its own code and in the kernel (proc_pid_stat(5)); nil when it is not there.
public func processorTime(of pid: Int32) -> Duration? {
    guard let file = fopen("/proc/\(pid)/stat", "re") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1024)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    // The name, in parentheses, may have spaces in it. `utime` and `stime` are fields 14 and 15, in ticks.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 12, let user = Int(fields[11]), let system = Int(fields[12]) else { return nil }
    return .seconds(user + system) / sysconf(Int32(_SC_CLK_TCK))
}
