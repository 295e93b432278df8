import Resilience

/// One request, and how far it is.
struct RequestModel {
    enum State: UInt8 { case new, waiting, running, backingOff, ended }
    /// The one thing that a client gets.
    enum Ending: UInt8, CaseIterable {
        case answered, failed, expired, refused, shed, dropped, noEndpoint, clientLeft
    }

    var tenant: Int
    var priority: UInt8
    var deadline: UInt64
    var began: UInt64
    var isRepeatable: Bool
    /// One of those after recovery: it has to be answered.
    var isSample = false

    var state = State.new
    var ending: Ending?
    var attempts: UInt32 = 0
    /// Of the present attempt or wait, so that events of a former one are known; and how many there were.
    var serial: UInt32 = 0
    var serials: UInt32 = 0
    /// The other one of two attempts; there is one hedge for a request.
    var rival: Simulation.Rival?
    var wasHedged = false
    var endpoint = -1
    var attemptBegan: UInt64 = 0
    var outcome = AttemptOutcome.answered
    var ticket = CircuitBreakerTicket.none
    /// Of the endpoint's breaker, when the attempt began.
    var life = 0
    var handle = AdmissionHandle(bits: 0)
    /// Whether it holds a retry of the budget.
    var holdsRetry = false
    /// Some byte of an attempt has reached an endpoint that may have begun with it.
    var mayHaveBegun = false

    // For the properties.
    var joined: UInt64 = 0
    /// What had been served, of all and of its tenant, when it came to level 0.
    var servedAtTop: (all: Int, own: Int)?
}

/// What a run came to.
public struct SimulationReport: Sendable {
    public enum Happening: Int, CaseIterable, Sendable {
        case requests, answered, failed, expired, refused, shed, dropped, noEndpoint, clientLeft
        case retries, budgetEmpty, opened, closed, probes, lostProbes, probeRefused, ejected, unhealthy, panics, aged
        case limitMoved, hedges, hedgesWon, hedgeRefused
    }

    public var seed: UInt64
    /// The first property that did not hold, and when.
    public var violation: String?
    public var counts = Array(repeating: 0, count: Happening.allCases.count)
    /// Of everything that happened, in order: two runs of a seed have the same.
    public var digest: UInt64 = 0xcbf2_9ce4_8422_2325

    public subscript(_ happening: Happening) -> Int { counts[happening.rawValue] }
}
