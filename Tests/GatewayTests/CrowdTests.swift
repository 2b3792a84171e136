import Kernel
import Testing

@testable import Gateway

@Suite("Crowd")
struct CrowdTests {
    private final class Member {
        let name: String
        init(_ name: String) { self.name = name }
    }

    private func address(_ text: String) throws -> SocketAddress {
        SocketAddress(host: try #require(SocketAddress.Host(numeric: text)), port: 1)
    }

    @Test("the largest loses its oldest; of equals, the one that has been so longest")
    func order() throws {
        var crowd = Crowd<Member>()
        let names = ["a 1", "b 2", "b 2", "a 1", "c 3"].enumerated().map { Member("\($1) \($0)") }
        for member in names { crowd.add(member, from: try address("10.0.0.\(member.name.split(separator: " ")[1])")) }
        var order: [String] = []
        while let next = crowd.oldestOfLargest {
            order.append(next.name)
            crowd.remove(next)
        }
        #expect(order == ["b 2 1", "a 1 0", "c 3 4", "b 2 2", "a 1 3"])
        #expect(crowd.count == 0)
    }

    @Test("any may go, and what is oldest is still right")
    func middle() throws {
        var crowd = Crowd<Member>()
        let here = try address("10.0.0.1")
        let members = (0..<200).map { Member("\($0)") }
        for member in members { crowd.add(member, from: here) }
        for member in members where Int(member.name)! % 7 != 5 { crowd.remove(member) }
        #expect(crowd.count(of: here) == 28 && crowd.oldest(from: here)?.name == "5")
        crowd.remove(members[5])
        crowd.add(members[5], from: here)
        #expect(crowd.oldest(from: here)?.name == "12")
    }

    @Test("an IPv6 address counts with its network, a mapped one as the IPv4 address that it is")
    func groups() throws {
        var crowd = Crowd<Member>()
        let members = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1", "::ffff:10.0.0.1", "10.0.0.1"].map {
            Member($0)
        }
        for member in members { crowd.add(member, from: try address(member.name)) }
        #expect(crowd.count(of: try address("2001:db8::7")) == 2)
        #expect(crowd.count(of: try address("2001:db8:0:1::7")) == 1)
        #expect(crowd.count(of: try address("10.0.0.1")) == 2)
    }
}
