import CLinux
import Kernel
import SystemPackage
import Testing

@testable import Interception

@Suite struct LegListenerTests {
    @Test(arguments: [AF_INET, AF_INET6]) func anAcceptedLegInheritsItsOptions(family: Int32) throws {
        let listener = try LegListener(family: family)
        #expect(listener.address.isLoopback && listener.address.port != 0)
        #expect(try listener.accept() == nil)
        let application = try tcpSocket(family)
        #expect([0, EINPROGRESS].contains(connect(application, to: listener.address)))
        try wait(listener.descriptor.number, for: POLLIN)
        let leg = try unwrap(listener.accept())
        let local = try LegSocket.localAddress(of: application.number)
        #expect(leg.application == local)
        try expectLegOptions(leg)
    }

    @Test func oneBoundPortReachesTwoListeners() throws {
        let first = try LegListener(family: AF_INET)
        let second = try LegListener(family: AF_INET)
        var local = address("127.0.0.1", 0)
        var sockets: [Int32] = []
        defer { for socket in sockets { close(socket) } }
        for listener in [first.address, second.address] {
            let application = try tcpSocket(AF_INET)
            try SocketOption.set(SOL_SOCKET, SO_REUSEADDR, of: application.number, to: Int32(1))
            local = try LegSocket.bind(application.number, to: local)
            #expect([0, EINPROGRESS].contains(connect(application, to: listener)))
            sockets.append(application.release())
        }
        for descriptor in [first.descriptor.number, second.descriptor.number] { try wait(descriptor, for: POLLIN) }
        #expect(try first.accept()?.application == local)
        #expect(try second.accept()?.application == local)
    }

    @Test func anotherProcessesListenerIsTakenOver() throws {
        let original = try LegListener(family: AF_INET6)
        let adopted = try LegListener(adopting: try original.descriptor.duplicate())
        #expect(adopted.address == original.address)
    }
}
