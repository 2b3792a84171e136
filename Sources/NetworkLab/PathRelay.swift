import CLinux
import Kernel

/// The process that is a path: it takes each packet from one network interface and puts it out on another, with the
/// faults that it is told (packet(7)).
///
/// Both are ends of veth pairs in a namespace whose kernel does nothing of its own with them. Packets come with the
/// header of virtio_net(4) before them (`PACKET_VNET_HDR`) and are passed on with it, as inside one machine checksums
/// may still be owing.
///
/// Standard input tells it what to do, a line each, and each line is answered on the standard output when it is in effect:
///
///     faults 0 FAULTS     direction 0 is from the first interface to the second; `PathFaults.text`
///     counts              → `counts PASSED LOST OVERFLOWED PASSED LOST OVERFLOWED`, all answers with the line's number
///
/// It ends with its input.
public struct PathRelay {
    /// The largest frame: header, Ethernet and a packet of 1,500 bytes, and some to spare.
    private static let slotSize = 2048
    /// At 1 Gbit/s and full packets, 0.7 s. Memory is taken as it is used.
    private static let slots = 65_536
    private static let batch = 64
    /// `struct virtio_net_hdr`, and what Ethernet puts before an IP packet.
    private static let headers = 10 + 14

    private let sockets: [Int32]
    private let memory: UnsafeMutableRawPointer
    private var free: [Int32]
    private var directions: [PathDirection]
    private var control: [UInt8] = []
    private var lines = 0

    /// Runs a path to its end.
    ///
    /// - Parameter arguments: the names of the two interfaces, and a seed.
    /// - Returns: the exit status.
    public static func run(_ arguments: [String]) -> Int32 {
        guard arguments.count == 3, let seed = UInt64(arguments[2]) else { return 2 }
        do {
            var relay = try PathRelay(interfaces: Array(arguments[..<2]), seed: seed)
            try relay.run()
            return 0
        } catch {
            let text = Array("path: \(error)\n".utf8)
            _ = write(STDERR_FILENO, text, text.count)
            return 1
        }
    }

    private init(interfaces: [String], seed: UInt64) throws(LabError) {
        var sockets: [Int32] = []
        for interface in interfaces { sockets.append(try Self.open(interface)) }
        self.sockets = sockets
        // One more, for what there is no room for.
        let length = (Self.slots + 1) * Self.slotSize
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        guard let memory = mmap(nil, length, PROT_READ | PROT_WRITE, flags, -1, 0), memory != usl_map_failed() else {
            throw .system(call: "mmap", reason: errnoText())
        }
        self.memory = memory
        free = (0..<Int32(Self.slots)).reversed()
        directions = [PathDirection(seed: seed), PathDirection(seed: ~seed)]
        // A timer may be late by 50 µs otherwise (PR_SET_TIMERSLACK).
        _ = usl_prctl(PR_SET_TIMERSLACK, 1)
    }

    private static func open(_ interface: String) throws(LabError) -> Int32 {
        let everything = UInt16(ETH_P_ALL).bigEndian
        let number = socket(AF_PACKET, Int32(SOCK_RAW.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard number >= 0 else { throw .system(call: "socket", reason: errnoText()) }
        func set(_ level: Int32, _ option: Int32, _ value: Int32) -> Int32 {
            var value = value
            return setsockopt(number, level, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        guard set(SOL_PACKET, PACKET_VNET_HDR, 1) == 0, set(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) == 0 else {
            throw .system(call: "setsockopt", reason: errnoText())
        }
        // Room for what comes while another program has the processor. Beyond the system's limit only for root.
        let room: Int32 = 8 << 20
        if set(SOL_SOCKET, SO_RCVBUFFORCE, room) != 0 { _ = set(SOL_SOCKET, SO_RCVBUF, room) }
        if set(SOL_SOCKET, SO_SNDBUFFORCE, room) != 0 { _ = set(SOL_SOCKET, SO_SNDBUF, room) }
        var address = sockaddr_ll()
        address.sll_family = UInt16(AF_PACKET)
        address.sll_protocol = everything
        address.sll_ifindex = Int32(if_nametoindex(interface))
        let bound = withUnsafeBytes(of: &address) {
            usl_bind(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
        }
        guard address.sll_ifindex > 0, bound == 0 else {
            throw .system(call: "bind to \(interface)", reason: errnoText())
        }
        return number
    }

    private mutating func run() throws(LabError) {
        answer("ready")
        while true {
            let next = [directions[0].next, directions[1].next].compactMap(\.self).min()
            let events = try wait(until: next)
            if events[0] != 0, try !readControl() { return }
            let now = Self.now()
            for index in 0..<2 where events[1 + index] != 0 { receive(index, now) }
            for index in 0..<2 { release(index, now) }
        }
    }

    /// Waits for input or until a time.
    private func wait(until next: UInt64?) throws(LabError) -> [Int16] {
        var entries = ([STDIN_FILENO] + sockets).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        let result: Int32
        if let next {
            let rest = Int(clamping: next) - Int(Self.now())
            var limit = timespec(tv_sec: max(0, rest) / 1_000_000_000, tv_nsec: max(0, rest) % 1_000_000_000)
            result = ppoll(&entries, 3, &limit, nil)
        } else {
            result = ppoll(&entries, 3, nil, nil)
        }
        guard result >= 0 || usl_errno() == EINTR else { throw .system(call: "ppoll", reason: errnoText()) }
        return entries.map(\.revents)
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    // MARK: - Packets

    /// Takes in what has come from an interface: a bounded number, so that the other direction has its turn.
    private mutating func receive(_ index: Int, _ now: UInt64) {
        for _ in 0..<4 {
            let wanted = min(Self.batch, free.count)
            if wanted == 0 { return discard(index) }
            let slots = Array(free.suffix(wanted))
            free.removeLast(wanted)
            let lengths = transfer(slots.map { PathDirection.Packet(buffer: $0, length: Int32(Self.slotSize)) }) {
                recvmmsg(sockets[index], $0, $1, Int32(MSG_DONTWAIT), nil)
            }
            for (slot, length) in zip(slots, lengths) { take(slot, length, index, now) }
            free += slots[lengths.count...]
            if lengths.count < wanted { return }
        }
    }

    private mutating func take(_ slot: Int32, _ length: Int32, _ index: Int, _ now: UInt64) {
        let packet = PathDirection.Packet(buffer: slot, length: length)
        // A frame that does not fit is none of a path's that was set up right.
        guard length < Self.slotSize else {
            directions[index].counts.overflowed += 1
            return free.append(slot)
        }
        if isNeighbourTalk(slot) { return directions[index].pass(packet, now: now) }
        let fate = directions[index].fate(size: Int(length) - Self.headers)
        if fate == .double, let copy = free.popLast() {
            place(copy).copyMemory(from: place(slot), byteCount: Int(length))
            let second = PathDirection.Packet(buffer: copy, length: length)
            if !directions[index].take(second, now: now) { free.append(copy) }
        }
        if fate == .drop || !directions[index].take(packet, now: now) { free.append(slot) }
    }

    /// Whether a packet is about who has which address on this network: ARP (RFC 826), or neighbour discovery (RFC 4861).
    ///
    /// It passes unharmed. What a path stands for is broken behind the next hop, and a neighbour that was lost is asked
    /// for once a second only, which would be measured instead of the fault.
    private func isNeighbourTalk(_ slot: Int32) -> Bool {
        let frame = UnsafeRawBufferPointer(start: place(slot) + Self.headers, count: Self.slotSize - Self.headers)
        switch (frame.baseAddress! - 2).loadUnaligned(as: UInt16.self).bigEndian {
        case UInt16(ETH_P_ARP): return true
        // Next header ICMPv6, types 133 to 137.
        case UInt16(ETH_P_IPV6): return frame[6] == 58 && (133...137).contains(frame[40])
        default: return false
        }
    }

    /// All buffers are full: what comes is lost.
    private mutating func discard(_ index: Int) {
        while recv(sockets[index], place(Int32(Self.slots)), Self.slotSize, Int32(MSG_DONTWAIT)) >= 0 {
            directions[index].counts.overflowed += 1
        }
    }

    /// Puts out what is due.
    private mutating func release(_ index: Int, _ now: UInt64) {
        var packets: [PathDirection.Packet] = []
        repeat {
            packets.removeAll(keepingCapacity: true)
            while packets.count < Self.batch, let packet = directions[index].arrival(now: now) {
                packets.append(packet)
            }
            var done = 0
            while done < packets.count {
                let sent = transfer(Array(packets[done...])) {
                    sendmmsg(sockets[1 - index], $0, $1, Int32(MSG_DONTWAIT))
                }
                // The first one cannot be sent, as when the interface is down: it is lost, as on any cable.
                if sent.isEmpty { directions[index].counts.overflowed += 1 }
                done += max(1, sent.count)
            }
            free += packets.map(\.buffer)
        } while packets.count == Self.batch
    }

    private func place(_ slot: Int32) -> UnsafeMutableRawPointer { memory + Int(slot) * Self.slotSize }

    /// One system call for several packets.
    ///
    /// - Returns: the lengths of those that were transferred.
    private func transfer(
        _ packets: [PathDirection.Packet], _ call: (UnsafeMutablePointer<mmsghdr>, UInt32) -> Int32
    ) -> [Int32] {
        var vectors = packets.map { iovec(iov_base: place($0.buffer), iov_len: Int($0.length)) }
        return vectors.withUnsafeMutableBufferPointer { vectors in
            var messages = packets.indices.map { index in
                var message = mmsghdr()
                message.msg_hdr.msg_iov = vectors.baseAddress! + index
                message.msg_hdr.msg_iovlen = 1
                return message
            }
            let count = call(&messages, UInt32(messages.count))
            return messages.prefix(Int(max(0, count))).map { Int32($0.msg_len) }
        }
    }

    // MARK: - Control

    /// - Returns: whether there may be more to come.
    private mutating func readControl() throws(LabError) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count <= 0 { return false }
        control += bytes[..<count]
        while let end = control.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: control[..<end], as: UTF8.self)
            control.removeSubrange(...end)
            lines += 1
            try obey(line)
        }
        return true
    }

    private mutating func obey(_ line: String) throws(LabError) {
        let words = line.split(separator: " ")
        switch (words.first, words.count) {
        case ("faults", 3):
            guard let index = Int(words[1]), directions.indices.contains(index), let faults = PathFaults(text: words[2])
            else { throw .system(call: "control", reason: line) }
            directions[index].faults = faults
            answer("done \(lines)")
        case ("counts", 1):
            let counts = directions.map(\.counts).flatMap { [$0.passed, $0.lost, $0.overflowed] }
            answer("done \(lines) \(counts.map(String.init).joined(separator: " "))")
        default: throw .system(call: "control", reason: line)
        }
    }

    private func answer(_ text: String) {
        let bytes = Array((text + "\n").utf8)
        _ = write(STDOUT_FILENO, bytes, bytes.count)
    }
}
