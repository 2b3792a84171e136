import Testing

@testable import SessionProtocol

private let everyType: [FrameType] = [
    .open, .opened, .refused, .attach, .attached, .gone, .lookup, .found, .ask, .answer, .data, .ack, .fin, .abort,
    .ping,
    .pong, .leave,
]

@Suite struct WireTests {
    @Test(arguments: everyType)
    func headerRoundTrip(_ type: FrameType) throws {
        let header = FrameHeader(
            type: type, flags: 0xa5, window: 0x1234, length: 0x3fff, offset: 0x0102_0304_0506_0708,
            acknowledged: .max)
        #expect(try FrameHeader(frame: header.encodedBytes) == header)
    }

    @Test func headerIsInNetworkByteOrder() {
        let header = FrameHeader(
            type: .data, flags: 1, window: 0x0203, length: 0x0000_0405, offset: 0x1112_1314_1516_1718,
            acknowledged: 0x2122_2324_2526_2728)
        let expected: [UInt8] = [
            16, 1, 2, 3, 0, 0, 4, 5, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26,
            0x27, 0x28,
        ]
        #expect(header.encodedBytes == expected)
    }

    @Test func otherTypesAreUnknown() {
        for raw in UInt8.min...UInt8.max where FrameType(rawValue: raw) == nil {
            let bytes = [raw] + [UInt8](repeating: 0, count: 23)
            #expect(throws: FrameError.unknownType(raw)) { _ = try FrameHeader(frame: bytes) }
        }
        #expect(everyType.count == (UInt8.min...UInt8.max).filter { FrameType(rawValue: $0) != nil }.count)
    }

    @Test(arguments: everyType)
    func lengthIsLimited(_ type: FrameType) throws {
        let limit = UInt32(type == .data ? 65_536 : 16_384)
        let largest = FrameHeader(type: type, length: limit)
        #expect(try FrameHeader(frame: largest.encodedBytes) == largest)
        for length in [limit + 1, UInt32.max] {
            let header = FrameHeader(type: type, length: length)
            #expect(throws: FrameError.oversized(type, length: length)) {
                _ = try FrameHeader(frame: header.encodedBytes)
            }
        }
    }

    @Test func windowLimit() {
        let header = FrameHeader(type: .ack, window: 3, acknowledged: 100)
        #expect(header.limit == 100 + 3 * 4096)
    }
}
