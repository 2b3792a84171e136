import CLinux

/// What the kernel tells of interfaces, addresses and routes over rtnetlink (rtnetlink(7)), as far as links care.
public enum RouteMessage: Equatable, Sendable {
    /// An interface is there; usable ones are up and have a carrier.
    case interface(index: UInt32, name: String, isUsable: Bool)
    case interfaceGone(index: UInt32)
    case address(SocketAddress.Host, interface: UInt32, AddressTraits)
    case addressGone(SocketAddress.Host, interface: UInt32)
    /// A route, or a rule that chooses among tables of routes, has come, gone or changed.
    case routes
    /// The end of a dump.
    case done
    /// A request has failed, with this errno.
    case failed(Int32)

    /// Reads the messages of one datagram. What says nothing of interest, or is cut short, is skipped.
    public static func each(of datagram: RawSpan, _ body: (RouteMessage) -> Void) {
        NetlinkSocket.each(of: datagram) { header, payload in
            if let message = RouteMessage(type: header.nlmsg_type, payload) { body(message) }
        }
    }

    init?(type: UInt16, _ payload: RawSpan) {
        switch Int(type) {
        case Int(NLMSG_DONE): self = .done
        case Int(NLMSG_ERROR): self = .failed(-(payload.load(Int32.self) ?? 0))
        case Int(RTM_NEWLINK), Int(RTM_DELLINK): self.init(link: payload, isGone: Int(type) == Int(RTM_DELLINK))
        case Int(RTM_NEWADDR), Int(RTM_DELADDR): self.init(address: payload, isGone: Int(type) == Int(RTM_DELADDR))
        case Int(RTM_NEWROUTE), Int(RTM_DELROUTE): self.init(route: payload)
        case Int(RTM_NEWRULE), Int(RTM_DELRULE): self = .routes
        default: return nil
        }
    }

    private init?(link payload: RawSpan, isGone: Bool) {
        // A bridge tells of its ports in messages of its own family: one that leaves it is not gone.
        guard let info = payload.load(ifinfomsg.self), Int32(info.ifi_family) == AF_UNSPEC else { return nil }
        let index = UInt32(bitPattern: info.ifi_index)
        if isGone {
            self = .interfaceGone(index: index)
            return
        }
        var name = ""
        payload.eachAttribute(behind: MemoryLayout<ifinfomsg>.size) { type, value in
            if type == Int(IFLA_IFNAME) { name = value.text }
        }
        // IFF_RUNNING is set while the interface is operational (in the kernel, netif_oper_up): it has a carrier, or cannot
        // tell, as with tunnels.
        let needed = UInt32(IFF_UP | IFF_RUNNING)
        self = .interface(index: index, name: name, isUsable: info.ifi_flags & needed == needed)
    }

    private init?(address payload: RawSpan, isGone: Bool) {
        guard let info = payload.load(ifaddrmsg.self) else { return nil }
        let family = Int32(info.ifa_family)
        var (address, local): (SocketAddress.Host?, SocketAddress.Host?)
        var flags = UInt32(info.ifa_flags)
        payload.eachAttribute(behind: MemoryLayout<ifaddrmsg>.size) { type, value in
            switch type {
            case Int(IFA_ADDRESS): address = value.host(family: family, interface: info.ifa_index)
            case Int(IFA_LOCAL): local = value.host(family: family, interface: info.ifa_index)
            case Int(IFA_FLAGS): flags = value.load(UInt32.self) ?? flags
            default: return
            }
        }
        // Where both are given, IFA_ADDRESS is the other end of a point-to-point interface (linux/if_addr.h).
        guard let host = local ?? address else { return nil }
        if isGone {
            self = .addressGone(host, interface: info.ifa_index)
            return
        }
        let isTentative = flags & UInt32(IFA_F_TENTATIVE) != 0 && flags & UInt32(IFA_F_OPTIMISTIC) == 0
        // IFA_F_TEMPORARY is the same bit as IFA_F_SECONDARY, which is IPv4's (linux/if_addr.h).
        let traits = AddressTraits(
            isUsable: !isTentative && flags & UInt32(IFA_F_DADFAILED) == 0, prefixLength: info.ifa_prefixlen,
            isDeprecated: flags & UInt32(IFA_F_DEPRECATED) != 0,
            isTemporary: family == AF_INET6 && flags & UInt32(IFA_F_TEMPORARY) != 0)
        self = .address(host, interface: info.ifa_index, traits)
    }

    private init?(route payload: RawSpan) {
        // Multicast routers have families of their own. What the kernel adds by itself follows addresses, which tell of
        // themselves; cloned routes are what it remembers of a destination.
        guard let info = payload.load(rtmsg.self), [AF_INET, AF_INET6].contains(Int32(info.rtm_family)),
            Int(info.rtm_protocol) != Int(RTPROT_KERNEL), info.rtm_flags & UInt32(RTM_F_CLONED) == 0
        else { return nil }
        self = .routes
    }

    /// Messages and attributes begin at multiples of four bytes (netlink(3)).
    fileprivate static func aligned(_ length: Int) -> Int { (length + 3) & ~3 }
}

extension RawSpan {
    fileprivate func load<Value: BitwiseCopyable>(_ type: Value.Type) -> Value? {
        guard byteCount >= MemoryLayout<Value>.size else { return nil }
        // Every pattern of bits is a value of these structures of integers.
        return unsafeLoadUnaligned(as: type)
    }

    /// The attributes behind a structure of `offset` bytes (netlink(3)).
    public func eachAttribute(behind offset: Int, _ body: (_ type: Int, _ value: RawSpan) -> Void) {
        let headerSize = MemoryLayout<rtattr>.size
        var rest = extracting(last: max(0, byteCount - RouteMessage.aligned(offset)))
        while let header = rest.load(rtattr.self), Int(header.rta_len) >= headerSize,
            Int(header.rta_len) <= rest.byteCount
        {
            let length = Int(header.rta_len)
            body(Int(header.rta_type), rest.extracting(headerSize..<length))
            rest = rest.extracting(last: max(0, rest.byteCount - RouteMessage.aligned(length)))
        }
    }

    /// Bytes up to the first zero.
    fileprivate var text: String {
        var bytes: [UInt8] = []
        for offset in 0..<byteCount {
            let byte = unsafeLoad(fromByteOffset: offset, as: UInt8.self)
            if byte == 0 { break }
            bytes.append(byte)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    fileprivate func host(family: Int32, interface: UInt32) -> SocketAddress.Host? {
        switch (family, byteCount) {
        case (AF_INET, 4...): return load(UInt32.self).map { .v4(UInt32(bigEndian: $0)) }
        case (AF_INET6, 16...):
            let high = UInt64(bigEndian: unsafeLoadUnaligned(as: UInt64.self))
            let low = UInt64(bigEndian: unsafeLoadUnaligned(fromByteOffset: 8, as: UInt64.self))
            let address = SocketAddress(host: .v6(high: high, low: low, scope: 0), port: 0)
            return address.isLinkLocal ? .v6(high: high, low: low, scope: interface) : address.host
        default: return nil
        }
    }
}
