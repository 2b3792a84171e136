import Engine
import Keeper
import Kernel
import SessionHost
import SessionProtocol
import Transport

/// What a session needs to begin on its own loop.
struct NewSession: ~Copyable, Sendable {
    let id: SessionID
    let key: ResumeKey
    let instance: UInt64
    let opened: [UInt8]
    let target: SocketAddress
    let socket: TCPSocket
    let first: AcceptedLink?
    let suspendLimit: Interval
    let escrowKey: EscrowKey
    let journal: SessionJournal

    consuming func begin(on loop: EventLoop, table: SessionTable, main: LoopMailbox, door: LoopBound<FrontDoor>) {
        let owner = GatewaySession(escrowKey: escrowKey, table: table, main: main, door: door, journal: journal)
        let id = id
        do {
            let driver = try SessionDriver.accept(
                id, key: key, instance: instance, opened: opened, destination: target, leg: socket,
                escrowKey: escrowKey.value, first: first,
                suspendLimit: suspendLimit, buffers: SessionBuffers(), on: loop, owner: owner)
            table.add(SessionEntry(driver: driver, program: nil, owner: owner))
        } catch {
            // No memory to watch the leg: it was reset and taken out of escrow, and the opener will be told.
            let gone = GoneMessage(reason: .exhausted, instance: instance, positions: nil)
            main.post { door.on($0).sessionEnded(id, gone) }
        }
    }
}
