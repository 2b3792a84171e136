import Testing

@testable import Rendezvous

/// RFC 6724, sections 5 and 10.1. The first and fifth example name results that are not among their candidates, by slips
/// of the pen; what they mean is plain. The sixth is about home addresses, of which nothing here knows.
@Suite("Source address selection")
struct SourceSelectionTests {
    private func source(_ destination: IPAddress, _ locals: [LocalAddress]) -> IPAddress? {
        let chosen = AddressSelection(locals: locals).source(for: destination)?.address
        let reversed = AddressSelection(locals: locals.reversed()).source(for: destination)?.address
        #expect(chosen == reversed, "it depends on the order in which the addresses came")
        return chosen
    }

    @Test("10.1, 1: prefer appropriate scope")
    func example1() {
        #expect(source("2001:db8:1::1", ["2001:db8:3::1", "fe80::1%1"]) == "2001:db8:3::1")
    }

    @Test("10.1, 2: prefer appropriate scope, of a multicast destination")
    func example2() {
        #expect(source("ff05::1", ["2001:db8:3::1", "fe80::1%1"]) == "2001:db8:3::1")
    }

    @Test("10.1, 3: prefer same address")
    func example3() {
        let same = LocalAddress("2001:db8:1::1", deprecated: true)
        #expect(source("2001:db8:1::1", [same, "2001:db8:2::1"]) == "2001:db8:1::1")
    }

    @Test("10.1, 4: prefer appropriate scope, before preferred addresses")
    func example4() {
        let link = LocalAddress("fe80::2%1", deprecated: true)
        #expect(source("fe80::1%1", [link, "2001:db8:1::1"]) == "fe80::2%1")
    }

    @Test("10.1, 5: longest matching prefix")
    func example5() {
        #expect(source("2001:db8:1::1", ["2001:db8:1::2", "2001:db8:3::2"]) == "2001:db8:1::2")
    }

    @Test("10.1, 7: prefer matching label, before longest prefix and temporary addresses")
    func example7() {
        let temporary = LocalAddress("2002:c633:6401::d5e3:7953:13eb:22e8", temporary: true)
        #expect(source("2002:c633:6401::1", [temporary, "2001:db8:1::2"]) == temporary.address)
    }

    @Test("10.1, 8: prefer temporary address")
    func example8() {
        let temporary = LocalAddress("2001:db8:1::d5e3:7953:13eb:22e8", temporary: true)
        #expect(source("2001:db8:1::d5e3:0:0:1", ["2001:db8:1::2", temporary]) == temporary.address)
    }

    @Test("rule 3: avoid deprecated addresses")
    func rule3() {
        #expect(
            source("2001:db8:1::1", [LocalAddress("2001:db8:1::2", deprecated: true), "2001:db8:3::2"])
                == "2001:db8:3::2")
    }

    @Test("rule 5: prefer the outgoing interface, where neighbours or the scope tell it")
    func rule5() {
        let near = LocalAddress(address: "2001:db8:1::2", prefixLength: 64, interface: 1)
        let sameInterface = LocalAddress(
            address: "2001:db8:1:0:7::1", prefixLength: 96, interface: 1, isTemporary: true)
        let elsewhere = LocalAddress(address: "2001:db8:1::3", prefixLength: 62, interface: 2, isTemporary: true)
        #expect(source("2001:db8:1::1", [near, elsewhere]) == near.address)
        #expect(source("2001:db8:1::1", [near, elsewhere, sameInterface]) == sameInterface.address)
    }

    @Test("rule 6: prefer matching label, before temporary addresses")
    func rule6() {
        let temporary = LocalAddress("2001:db8:1::2", temporary: true)
        #expect(source("2002:c633:6401::1", [temporary, "2002:c633:9::2"]) == "2002:c633:9::2")
    }

    @Test("rule 7 comes before rule 8, which counts no bits behind the source's prefix")
    func rules7And8() {
        let temporary = LocalAddress("2001:db8:3::9", temporary: true)
        #expect(source("2001:db8:1::1", ["2001:db8:1::2", temporary]) == temporary.address)
        let locals: [LocalAddress] = ["2001:db8:1::2", "2001:db8:1::1:2"]
        #expect(AddressSelection(locals: locals).source(for: "2001:db8:1::1:1")?.address == "2001:db8:1::2")
    }

    @Test("section 4: of the same family, and of the same link")
    func candidates() {
        #expect(source("192.0.2.1", ["2001:db8:1::2"]) == nil)
        #expect(source("192.0.2.1", ["2001:db8:1::2", "10.0.0.1"]) == "10.0.0.1")
        #expect(source("::ffff:c000:201", ["2001:db8:1::2", "10.0.0.1"]) == "10.0.0.1")
        let other = LocalAddress("fe80::2%2", interface: 2)
        #expect(source("fe80::1%2", ["fe80::2%1", other]) == "fe80::2%2")
        #expect(source("fe80::1%3", ["fe80::2%1", other]) == nil)
        #expect(source("2001:db8::1", ["::1"]) == nil && source("::1", ["::1", "2001:db8::1"]) == "::1")
        #expect(source("192.0.2.1", ["127.0.0.1"]) == nil && source("127.0.0.1", ["127.0.0.1"]) == "127.0.0.1")
    }

    @Test("what the kernel says counts for more than what the addresses make likely")
    func routes() {
        let locals: [LocalAddress] = ["192.0.2.1", "198.51.100.1"]
        let selection = AddressSelection(
            locals: locals,
            routes: ["192.0.2.9": .from("198.51.100.1"), "192.0.2.8": .none, "192.0.2.7": .from("203.0.113.1")])
        #expect(selection.source(for: "192.0.2.9")?.address == "198.51.100.1")
        #expect(selection.source(for: "::ffff:c000:209")?.address == "198.51.100.1")
        #expect(selection.source(for: "192.0.2.8") == nil)
        #expect(selection.source(for: "192.0.2.7")?.address == "203.0.113.1", "an address that came in between")
        #expect(selection.source(for: "192.0.2.6")?.address == "192.0.2.1")
    }
}

/// RFC 6724, sections 6 and 10.2. The fifth example is about home addresses, of which nothing here knows.
@Suite("Destination order")
struct DestinationOrderTests {
    private func sorted(_ destinations: [IPAddress], _ locals: [LocalAddress]) -> [IPAddress] {
        let selection = AddressSelection(locals: locals)
        let sorted = selection.sorted(destinations)
        let reversed = selection.sorted(destinations.reversed())
        #expect(sorted == reversed, "rule 10 decides, which is not what is meant")
        return sorted
    }

    @Test("10.2, 1: prefer matching scope")
    func example1() {
        #expect(
            sorted(["198.51.100.121", "2001:db8:1::1"], ["2001:db8:1::2", "fe80::1%1", "169.254.13.78"])
                == ["2001:db8:1::1", "198.51.100.121"])
    }

    @Test("10.2, 2: prefer matching scope, of IPv4")
    func example2() {
        #expect(
            sorted(["2001:db8:1::1", "198.51.100.121"], ["fe80::1%1", "198.51.100.117"])
                == ["198.51.100.121", "2001:db8:1::1"])
    }

    @Test("10.2, 3: prefer higher precedence")
    func example3() {
        #expect(
            sorted(["10.1.2.3", "2001:db8:1::1"], ["2001:db8:1::2", "fe80::1%1", "10.1.2.4"])
                == ["2001:db8:1::1", "10.1.2.3"])
    }

    @Test("10.2, 4: prefer smaller scope")
    func example4() {
        #expect(
            sorted(["2001:db8:1::1", "fe80::1%1"], ["2001:db8:1::2", "fe80::2%1"]) == ["fe80::1%1", "2001:db8:1::1"])
    }

    @Test("10.2, 6: avoid deprecated addresses")
    func example6() {
        #expect(
            sorted(["fe80::1%1", "2001:db8:1::1"], ["2001:db8:1::2", LocalAddress("fe80::2%1", deprecated: true)])
                == ["2001:db8:1::1", "fe80::1%1"])
    }

    @Test("10.2, 7: longest matching prefix")
    func example7() {
        #expect(
            sorted(["2001:db8:3ffe::1", "2001:db8:1::1"], ["2001:db8:1::2", "2001:db8:3f44::2", "fe80::2%1"])
                == ["2001:db8:1::1", "2001:db8:3ffe::1"])
    }

    @Test("10.2, 8: prefer matching label")
    func example8() {
        #expect(
            sorted(["2001:db8:1::1", "2002:c633:6401::1"], ["2002:c633:6401::2", "fe80::2%1"])
                == ["2002:c633:6401::1", "2001:db8:1::1"])
    }

    @Test("10.2, 9: prefer higher precedence, of two IPv6 destinations")
    func example9() {
        #expect(
            sorted(["2002:c633:6401::1", "2001:db8:1::1"], ["2002:c633:6401::2", "2001:db8:1::2", "fe80::2%1"])
                == ["2001:db8:1::1", "2002:c633:6401::1"])
    }

    @Test("rule 1: what cannot be reached comes last, by its family or by what the kernel says")
    func rule1() {
        #expect(sorted(["2001:db8::1", "192.0.2.1"], ["10.0.0.1"]) == ["192.0.2.1", "2001:db8::1"])
        // A source that hardly fits is one.
        #expect(sorted(["192.0.2.1", "fd00::1"], ["fe80::1%1"]) == ["fd00::1", "192.0.2.1"])
        let selection = AddressSelection(locals: ["10.0.0.1"], routes: ["10.0.0.2": .none])
        #expect(selection.sorted(["10.0.0.2", "192.0.2.1"]) == ["192.0.2.1", "10.0.0.2"])
        // Precedence still counts among those.
        #expect(sorted(["fd00::1", "2001:db8::1", "192.0.2.1"], []) == ["2001:db8::1", "192.0.2.1", "fd00::1"])
    }

    @Test("rule 10: else they stay, and of IPv4 only neighbours count as near")
    func rule10() {
        let selection = AddressSelection(locals: ["192.0.2.1"])
        let destinations: [IPAddress] = ["203.0.113.1", "192.0.3.1", "198.51.100.1"]
        #expect(selection.sorted(destinations) == destinations)
        #expect(selection.sorted(destinations + ["192.0.2.200"]) == ["192.0.2.200"] + destinations)
        #expect(selection.sorted([]) == [])
    }

    @Test("families take turns (RFC 8305, section 4)")
    func interleaving() {
        let mixed: [IPAddress] = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"]
        #expect(
            interleaved(mixed, beginningWith: .v6)
                == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"])
        #expect(
            interleaved(mixed, beginningWith: .v4)
                == ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "2001:db8::3"])
        #expect(interleaved(["192.0.2.1"], beginningWith: .v6) == ["192.0.2.1"])
    }
}
