/// ASK: would the acceptor connect to this destination? Nothing is connected, and no session begins.
public struct AskMessage: Hashable, Sendable {
    public let destination: Destination

    public init(destination: Destination) { self.destination = destination }

    /// The whole frame.
    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.destination, destination.encoded)
        writer.append(.transportProtocol, OpenMessage.tcp)
        return writer.finish(FrameHeader(type: .ask))
    }

    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .ask)
        var destination: Destination?
        var protocolNumber: UInt8?
        while let item = try reader.next() {
            switch item.type {
            case .destination: destination = try Destination(item, in: .ask)
            case .transportProtocol: protocolNumber = try item.integer(in: .ask)
            case .session, .keyShare, .linkNumber, .epoch, .received, .instance, .suspendLimit, .code, .text,
                .finalPositions, .proof, .name, .addresses:
                continue
            }
        }
        guard let destination, protocolNumber == OpenMessage.tcp else { throw .malformed(.ask) }
        self.init(destination: destination)
    }
}

/// ANSWER: what the acceptor would do.
public struct AnswerMessage: Hashable, Sendable {
    public enum Service: UInt16, Sendable {
        /// It connects to that destination, as it was told to when it was started.
        case served = 1
        /// It connects to that destination for as long as a server program offers it. It may be gone afterwards.
        case offered = 2
        /// It has nothing to do with that destination.
        case unserved = 3
    }

    public let service: Service

    public init(_ service: Service) { self.service = service }

    /// The whole frame.
    public var encoded: [UInt8] {
        var writer = ItemWriter()
        writer.append(.code, service.rawValue)
        return writer.finish(FrameHeader(type: .answer))
    }

    /// A code that is not known, or missing, means ``Service/served``: an opener then learns from OPEN.
    public init(payload: [UInt8]) throws(FrameError) {
        var reader = ItemReader(payload, of: .answer)
        var service = Service.served
        while let item = try reader.next() {
            switch item.type {
            case .code: service = Service(rawValue: try item.integer(in: .answer)) ?? .served
            case .session, .keyShare, .destination, .transportProtocol, .linkNumber, .epoch, .received, .instance,
                .suspendLimit, .text, .finalPositions, .proof, .name, .addresses:
                continue
            }
        }
        self.init(service)
    }
}
