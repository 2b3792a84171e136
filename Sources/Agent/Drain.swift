import Engine
import Kernel
import SessionHost
import SessionProtocol

/// Watches the bytes that a program has left behind when it ended, until they are acknowledged, and tells the keeper.
final class Drain {
    /// How often the sessions are asked.
    private static let period = Interval.milliseconds(10)

    private struct Debt: Sendable {
        let id: SessionID
        let destination: SocketAddress
        let acknowledged: Position
        /// Where the bytes end that count: taken, or still in the leg when the program ended.
        let end: Position
        let isLost: Bool
    }

    private unowned let agent: Agent
    /// Where each session's bytes ended when the program did.
    private var goals: [SessionID: Position]?
    private var lastAcknowledged: [SessionID: Position] = [:]
    private var lost: UInt64 = 0
    private var isOver = false

    init(_ agent: Agent) {
        self.agent = agent
        ask()
    }

    private func ask() {
        let me = LoopBound(self, on: agent.loop)
        agent.pool.gather { table in
            table.drivers.map { driver in
                Debt(
                    id: driver.session.id, destination: driver.destination, acknowledged: driver.session.acknowledged,
                    end: driver.session.taken + UInt64(driver.unreadBytes),
                    isLost: driver.session.undelivered == 0 && driver.unreadBytes == 0
                        && driver.session.acknowledged < driver.session.taken)
            }
        } then: { debts, loop in
            me.on(loop).take(debts)
        }
    }

    private func take(_ debts: [Debt]) {
        guard !isOver else { return }
        let current = Dictionary(uniqueKeysWithValues: debts.map { ($0.id, $0) })
        if goals == nil { goals = current.mapValues(\.end) }
        var undelivered: UInt64 = 0
        var largest: (bytes: UInt64, destination: SocketAddress)?
        for (id, goal) in goals ?? [:] {
            guard let debt = current[id], !debt.isLost else {
                // The session has ended: with what it had acknowledged last.
                let reached = current[id]?.acknowledged ?? lastAcknowledged[id] ?? goal
                if reached < goal, agent.failedSessions.contains(id) { lost += goal - reached }
                goals?[id] = nil
                continue
            }
            lastAcknowledged[id] = debt.acknowledged
            if debt.acknowledged >= goal {
                goals?[id] = nil
            } else {
                undelivered += goal - debt.acknowledged
                if goal - debt.acknowledged > largest?.bytes ?? 0 {
                    largest = (goal - debt.acknowledged, debt.destination)
                }
            }
        }
        if undelivered == 0 {
            isOver = true
            agent.escrow.reportDelivered(lost: lost)
            agent.drainIsOver()
        } else {
            agent.escrow.reportLegs(
                count: agent.connectionCount, undelivered: undelivered,
                destination: largest?.destination.description ?? "")
            _ = agent.loop.schedule(self, at: agent.loop.now + Drain.period)
        }
    }
}

extension Drain: TimerHandler {
    func timerExpired(_ token: TimerToken, on loop: EventLoop) { ask() }
}
