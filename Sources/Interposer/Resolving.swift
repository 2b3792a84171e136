import CLinux

// Functions that turn names into addresses. Each calls the next one and changes nothing of its result; the agent is told what
// was found, and not waited for. They are no functions for signal handlers (signal-safety(7)), so the next one is looked up
// when it is wanted. A lookup that does not pass through these symbols is not seen: those of programs with a resolver of
// their own, and libc's calls of itself.

/// getaddrinfo(3) of the application.
@c(getaddrinfo)
public func interposedGetaddrinfo(
    _ name: UnsafePointer<CChar>?, _ service: UnsafePointer<CChar>?, _ hints: UnsafePointer<addrinfo>?,
    _ result: UnsafeMutablePointer<UnsafeMutablePointer<addrinfo>?>?
) -> Int32 {
    typealias Function =
        @convention(c) (
            UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafePointer<addrinfo>?,
            UnsafeMutablePointer<UnsafeMutablePointer<addrinfo>?>?
        ) -> Int32
    guard let next = unsafeBitCast(dlsym(usl_rtld_next(), "getaddrinfo"), to: Function?.self) else { return EAI_FAIL }
    let status = next(name, service, hints, result)
    if status == 0, let list = result?.pointee { tellAgent(name) { $0.append(list) } }
    return status
}

/// gethostbyname(3) of the application.
@c(gethostbyname)
public func interposedGethostbyname(_ name: UnsafePointer<CChar>?) -> UnsafeMutablePointer<hostent>? {
    typealias Function = @convention(c) (UnsafePointer<CChar>?) -> UnsafeMutablePointer<hostent>?
    let next = unsafeBitCast(dlsym(usl_rtld_next(), "gethostbyname"), to: Function?.self)
    let entry = next?(name)
    if let entry { tellAgent(name) { $0.append(entry) } }
    return entry
}

/// gethostbyname2(3) of the application.
@c(gethostbyname2)
public func interposedGethostbyname2(_ name: UnsafePointer<CChar>?, _ family: Int32) -> UnsafeMutablePointer<hostent>? {
    typealias Function = @convention(c) (UnsafePointer<CChar>?, Int32) -> UnsafeMutablePointer<hostent>?
    let next = unsafeBitCast(dlsym(usl_rtld_next(), "gethostbyname2"), to: Function?.self)
    let entry = next?(name, family)
    if let entry { tellAgent(name) { $0.append(entry) } }
    return entry
}

/// gethostbyname_r(3) of the application.
@c(gethostbyname_r)
public func interposedGethostbynameR(
    _ name: UnsafePointer<CChar>?, _ entry: UnsafeMutablePointer<hostent>?, _ room: UnsafeMutablePointer<CChar>?,
    _ size: Int, _ result: UnsafeMutablePointer<UnsafeMutablePointer<hostent>?>?, _ code: UnsafeMutablePointer<Int32>?
) -> Int32 {
    typealias Function =
        @convention(c) (
            UnsafePointer<CChar>?, UnsafeMutablePointer<hostent>?, UnsafeMutablePointer<CChar>?, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<hostent>?>?, UnsafeMutablePointer<Int32>?
        ) -> Int32
    guard let next = unsafeBitCast(dlsym(usl_rtld_next(), "gethostbyname_r"), to: Function?.self) else { return ENOSYS }
    let status = next(name, entry, room, size, result, code)
    if status == 0, let entry = result?.pointee { tellAgent(name) { $0.append(entry) } }
    return status
}

/// gethostbyname2_r(3) of the application.
@c(gethostbyname2_r)
public func interposedGethostbyname2R(
    _ name: UnsafePointer<CChar>?, _ family: Int32, _ entry: UnsafeMutablePointer<hostent>?,
    _ room: UnsafeMutablePointer<CChar>?, _ size: Int, _ result: UnsafeMutablePointer<UnsafeMutablePointer<hostent>?>?,
    _ code: UnsafeMutablePointer<Int32>?
) -> Int32 {
    typealias Function =
        @convention(c) (
            UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<hostent>?, UnsafeMutablePointer<CChar>?, Int,
            UnsafeMutablePointer<UnsafeMutablePointer<hostent>?>?, UnsafeMutablePointer<Int32>?
        ) -> Int32
    guard let next = unsafeBitCast(dlsym(usl_rtld_next(), "gethostbyname2_r"), to: Function?.self) else {
        return ENOSYS
    }
    let status = next(name, family, entry, room, size, result, code)
    if status == 0, let entry = result?.pointee { tellAgent(name) { $0.append(entry) } }
    return status
}

/// Tells the agent of a name, unless it is an address, and leaves errno as it was.
private func tellAgent(_ name: UnsafePointer<CChar>?, _ addAddresses: (inout ResolvedMessage) -> Void) {
    guard agentAddress.sun_family != 0, let name else { return }
    let errnoBefore = usl_errno()
    defer { usl_set_errno(errnoBefore) }
    let count = strlen(name)
    var address = in_addr()
    // A colon stands in IPv6 addresses and in no name; inet_aton(3) knows all the ways to write an IPv4 address.
    guard strchr(name, Int32(UInt8(ascii: ":"))) == nil, inet_aton(name, &address) == 0,
        var message = ResolvedMessage(nameCount: count, byte: { UInt8(bitPattern: name[$0]) })
    else { return }
    addAddresses(&message)
    if message.addressCount > 0 { sendToAgent(message) }
}

extension ResolvedMessage {
    /// Adds the addresses of a list, which has each several times, once for each kind of socket.
    fileprivate mutating func append(_ list: UnsafeMutablePointer<addrinfo>) {
        var last: ResolvedAddress?
        var next: UnsafeMutablePointer<addrinfo>? = list
        while let entry = next {
            next = entry.pointee.ai_next
            guard let found = entry.pointee.ai_addr else { continue }
            let bytes = UnsafeRawPointer(found)
            let address: ResolvedAddress
            switch (entry.pointee.ai_family, Int(entry.pointee.ai_addrlen)) {
            case (AF_INET, MemoryLayout<sockaddr_in>.size...): address = .v4(at: bytes + 4)
            case (AF_INET6, MemoryLayout<sockaddr_in6>.size...):
                address = .v6(at: bytes + 8, scope: bytes.load(fromByteOffset: 24, as: UInt32.self))
            default: continue
            }
            if address != last { append(address) }
            last = address
        }
    }

    fileprivate mutating func append(_ entry: UnsafeMutablePointer<hostent>) {
        guard var next = entry.pointee.h_addr_list else { return }
        while let found = next.pointee {
            next += 1
            switch (entry.pointee.h_addrtype, entry.pointee.h_length) {
            case (AF_INET, 4): append(.v4(at: found))
            case (AF_INET6, 16): append(.v6(at: found, scope: 0))
            default: return
            }
        }
    }
}

extension ResolvedAddress {
    fileprivate static func v4(at bytes: UnsafeRawPointer) -> ResolvedAddress {
        .v4(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
    }

    fileprivate static func v6(at bytes: UnsafeRawPointer, scope: UInt32) -> ResolvedAddress {
        .v6(
            high: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
            low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)), scope: scope)
    }
}
