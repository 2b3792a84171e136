import CLinux
@c(connect)
public func interposedConnect(_ fd: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> Int32 {
    usl_connect(fd, address, length)
}
