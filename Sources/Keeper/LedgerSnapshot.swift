import Kernel

/// All that a ledger says about a session but for its key, for the successor of the process that wrote it.
public struct LedgerSnapshot: Equatable, Sendable {
    public let identity: LedgerIdentity
    /// The gateway's, at an agent that has heard from it; else 0.
    public let instance: UInt64
    public let epochSent: UInt64
    public let epochAccepted: UInt64
    public let ring: RingPlace?
    public let tail: UInt64
    public let delivered: UInt64
    public let flags: LedgerFlags
    public let baseReceived: UInt64
    public let baseAcknowledged: UInt64

    /// nil for a slot that is free, or holds what no ledger writes.
    init?(_ record: LedgerRecord) {
        guard record.isInUse,
            let role = LedgerIdentity.Role(rawValue: UInt8(truncatingIfNeeded: record.role.load())),
            let peer = SocketAddress(ledgerBytes: record.load(LedgerRecord.peer)),
            let destination = SocketAddress(ledgerBytes: record.load(LedgerRecord.destination))
        else { return nil }
        let details: LedgerIdentity.Details
        switch role {
        case .agent:
            let name = record.load(LedgerRecord.program).prefix { $0 != 0 }
            details = .application(
                .init(
                    source: SocketAddress(ledgerBytes: record.load(LedgerRecord.source)), cookie: record.cookie.load(),
                    isMapped: record.spelling.load() & 1 != 0, program: String(decoding: name, as: UTF8.self),
                    proof: UInt8(truncatingIfNeeded: record.spelling.load() >> 8),
                    rule: UInt32(truncatingIfNeeded: record.spelling.load() >> 32)))
            instance = record.instance.load()
        case .gateway:
            details = .keyShares(
                opener: record.load(LedgerRecord.openerShare), own: record.load(LedgerRecord.ownShare))
            instance = 0
        }
        identity = LedgerIdentity(
            session: record.load(LedgerRecord.identifier), role: role,
            mode: UInt8(truncatingIfNeeded: record.role.load() >> 8),
            peer: peer, destination: destination, openedAt: record.openedAt.load(),
            leg: EscrowKey(record.leg.load()), suspendLimit: UInt32(truncatingIfNeeded: record.role.load() >> 32),
            details: details)
        epochSent = record.epochSent.load()
        epochAccepted = record.epochAccepted.load()
        ring = RingPlace(packed: record.ring.load())
        tail = record.tail.load()
        delivered = record.delivered.load()
        flags = LedgerFlags(rawValue: record.flags.load())
        baseReceived = record.baseReceived.load()
        baseAcknowledged = record.baseAcknowledged.load()
    }
}

extension SocketAddress {
    /// 24 bytes: family (4 or 6), port, scope, and the address as two halves, all in host order.
    var ledgerBytes: [UInt8] {
        var writer = ByteWriter()
        switch host {
        case .v4(let address):
            writer.write(UInt16(4))
            writer.write(port)
            writer.write(UInt32(0))
            writer.write(UInt64(0))
            writer.write(UInt64(address))
        case .v6(let high, let low, let scope):
            writer.write(UInt16(6))
            writer.write(port)
            writer.write(scope)
            writer.write(high)
            writer.write(low)
        }
        return writer.bytes
    }

    init?(ledgerBytes bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard let family = reader.read(UInt16.self), let port = reader.read(UInt16.self),
            let scope = reader.read(UInt32.self), let high = reader.read(UInt64.self),
            let low = reader.read(UInt64.self)
        else { return nil }
        switch family {
        case 4: self.init(host: .v4(UInt32(truncatingIfNeeded: low)), port: port)
        case 6: self.init(host: .v6(high: high, low: low, scope: scope), port: port)
        default: return nil
        }
    }
}
