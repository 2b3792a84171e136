import Testing

@testable import Interception

@Suite struct ControlMessageTests {
    static let address = AddressBytes(count: 28) { UInt8($0 + 1) }!

    @Test(arguments: [
        ControlRequest.connect(to: address, blocking: true), .connect(to: address, blocking: false),
        .connect(to: address, blocking: true, process: 4711), .listening(at: address, process: 4711),
        .peerName(cookie: 0x8000_0000_0000_0001), .peerName(cookie: 7, at: address), .localName(cookie: 7), .status,
        .session(SessionName(high: 0x0102_0304_0506_0708, low: .max)), .drop(SessionName(high: 0, low: 1)),
        .replace(ledgerVersion: 1 << 40), .associate(to: address, connecting: true),
        .attemptFailed(0), .attemptFailed(113),
        .associate(to: address, connecting: false), .relayed(at: address, local: true),
        .relayed(at: address, local: false), .listening(at: address), .offer(of: address, network: 1 << 63),
        .client(at: address), .datagrams(from: address), .relayDatagrams(to: address, process: 4_194_304),
    ])
    func requestsSurviveTheWire(request: ControlRequest) {
        #expect(ControlRequest(request.encoded().span) == request)
    }

    @Test(arguments: [
        ControlResponse.direct, .leg(address), .held(AddressBytes(count: 16) { UInt8($0) }!), .refused(111),
        .asked(address), .notMine, .attempt(silence: 250, budget: 30_000), .connectTo(address),
    ])
    func responsesSurviveTheWire(response: ControlResponse) {
        #expect(ControlResponse(response.encoded().span) == response)
    }

    @Test func everyOtherLengthIsRefused() {
        for length in 0..<200 where length != ControlMessage.size {
            let bytes = [UInt8](repeating: 1, count: length)
            #expect(ControlRequest(bytes.span) == nil)
            #expect(ControlResponse(bytes.span) == nil)
        }
    }

    @Test func anotherVersionIsRefused() {
        var bytes = ControlRequest.status.encoded()
        bytes[0] = 2
        #expect(ControlRequest(bytes.span) == nil)
    }

    @Test func anAddressIsRequiredAndBounded() {
        var bytes = ControlRequest.connect(to: Self.address, blocking: true).encoded()
        bytes[3] = 0
        #expect(ControlRequest(bytes.span) == nil)
        bytes[3] = 29
        #expect(ControlRequest(bytes.span) == nil)
        bytes[3] = 255
        #expect(ControlRequest(bytes.span) == nil)
    }

    @Test func aRefusalHasAnErrno() {
        #expect(ControlResponse(ControlResponse.refused(0).encoded().span) == nil)
        #expect(ControlResponse(ControlResponse.refused(-1).encoded().span) == nil)
    }

    @Test func noBytesTrapADecoder() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            var bytes = (0..<ControlMessage.size).map { _ in UInt8.random(in: 0...255, using: &generator) }
            bytes[0] = ControlMessage.version
            bytes[1] &= 0x47
            _ = ControlRequest(bytes.span)
            _ = ControlResponse(bytes.span)
        }
    }
}
