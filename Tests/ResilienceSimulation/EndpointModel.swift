import Resilience
import SluiceHashing

/// One endpoint: how it behaves, and all that a gateway keeps of it.
final class EndpointModel {
    enum Behaviour: CaseIterable {
        case well
        /// Fails every second request, or so.
        case failing
        /// Refuses connections.
        case dead
        /// Takes them and says nothing.
        case frozen
        case slow
        /// Dead and well in turn.
        case flapping
        /// Says that it has too much.
        case limiting
    }

    var behaviour = Behaviour.well
    var latency: UInt64
    /// Of flapping.
    var period: UInt64 = 20 * millisecond

    let breakerCell = UnsafeMutablePointer<CircuitBreakerCell>.allocate(capacity: 1)
    let outlierCell = UnsafeMutablePointer<OutlierCell>.allocate(capacity: 1)
    var health: HealthState
    var inFlight = 0
    /// Since when it may be asked, for slow start.
    var since: UInt64 = 0

    // What the properties know of it, by themselves.
    var checksAgainst: UInt32 = 0
    var isOpen = false
    var openedAt: UInt64 = 0
    var streak = 0
    /// Grows whenever the breaker opens or closes: results of a former life must not count.
    var life = 0
    var failuresInARow: UInt32 = 0
    /// Probes under way: when each began, and its ticket.
    var probes: [(ticket: CircuitBreakerTicket, began: UInt64)] = []

    init(latency: UInt64, health settings: HealthSettings) {
        self.latency = latency
        health = HealthState(settings)
        breakerCell.initialize(to: CircuitBreakerCell())
        outlierCell.initialize(to: OutlierCell())
    }

    deinit {
        breakerCell.deinitialize(count: 1)
        breakerCell.deallocate()
        outlierCell.deinitialize(count: 1)
        outlierCell.deallocate()
    }

    var outlier: OutlierCounter { OutlierCounter(outlierCell) }

    private func behaviour(at now: UInt64) -> Behaviour {
        guard behaviour == .flapping else { return behaviour }
        return now / period % 2 == 0 ? .well : .dead
    }

    /// What an attempt that begins now comes to, after how long, if it may take as long as it likes.
    func attempt(at now: UInt64, _ random: inout SplitMix64) -> (outcome: AttemptOutcome, time: UInt64) {
        // More at once take longer.
        let usual = latency + latency * UInt64(inFlight) / 4 + random.below(latency)
        switch behaviour(at: now) {
        case .dead: return (.connectFailed, 200_000)
        case .frozen: return (.timedOut, .max)
        case .slow: return (.answered, usual * 8)
        case .limiting: return (.rateLimited, millisecond)
        case .failing:
            let outcomes: [AttemptOutcome] = [
                .answered, .answered, .listedStatus, .connectionLost, .refusedUnprocessed, .malformedAnswer,
            ]
            return (outcomes[random.below(outcomes.count)], usual)
        case .well, .flapping: return (.answered, usual)
        }
    }

    func check(at now: UInt64, _ random: inout SplitMix64) -> Bool {
        switch behaviour(at: now) {
        case .well, .slow, .limiting, .flapping: true
        case .failing: random.oneIn(2)
        case .dead, .frozen: false
        }
    }
}
