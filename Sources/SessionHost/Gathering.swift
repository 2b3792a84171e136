import Synchronization

/// Collects one answer from each of several loops.
final class Gathering<Item: Sendable>: Sendable {
    private struct State {
        var missing: Int
        var items: [Item] = []
    }

    private let state: Mutex<State>

    init(expected: Int) { state = Mutex(State(missing: expected)) }

    /// Adds one loop's answer; all of them with the last.
    func add(_ items: [Item]) -> [Item]? {
        state.withLock { state in
            state.items.append(contentsOf: items)
            state.missing -= 1
            return state.missing == 0 ? state.items : nil
        }
    }
}
