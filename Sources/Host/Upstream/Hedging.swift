import Resilience
import SluiceABI
import Synchronization

/// How one worker hedges the requests of one pool; in the generation's tables.
struct PoolHedging {
    let settings: HedgeSettings
    let histogram: LatencyHistogram
    /// Hedges under way in the pool, over all workers and generations.
    let inFlight: UnsafeMutablePointer<Atomic<UInt32>>
    var allowance = HedgeAllowance()
    /// As last looked up, nanoseconds; nil: there is none at present.
    private var known: UInt64?
    private var knownUntil: UInt64 = 0

    /// The percentile is looked up so often: in as long no pool becomes another one.
    private static let lookUpAfter: UInt64 = 100_000_000

    init(_ settings: HedgeSettings, _ state: PoolState) {
        self.settings = settings
        histogram = LatencyHistogram(state.latencies)
        inFlight = state.hedges
    }

    mutating func delay(now: UInt64) -> UInt64? {
        if now >= knownUntil {
            known = settings.delay(histogram)
            // While too little is known it costs one read to see that.
            if known != nil { knownUntil = now &+ Self.lookUpAfter }
        }
        return known
    }

    /// Takes a place among those under way.
    func begins() -> Bool {
        if inFlight.pointee.wrappingAdd(1, ordering: .relaxed).newValue <= settings.inFlightAtMost { return true }
        inFlight.pointee.wrappingSubtract(1, ordering: .relaxed)
        return false
    }

    func ends() { inFlight.pointee.wrappingSubtract(1, ordering: .relaxed) }
}

/// One of two attempts of an exchange: what its exchange holds of the other one, put aside.
struct RivalAttempt {
    var upstream: UnsafeMutablePointer<UpstreamConnection>?
    var toEndpoint: BodyFlow
    var endpointIndex: UInt32
    var endpointTable: UInt32
    var endpoint: UnsafeMutablePointer<Endpoint>?
    var endpointMetrics: Int32
    var attemptOpen: Bool
    var ticket: CircuitBreakerTicket
    var ticketMember: UnsafeMutablePointer<PoolMember>?
    var attemptAt: UInt64
    var attempt: UInt16
    var awaitedSince: UInt64
    var firstByteAt: UInt64
    var isHedge: Bool
    /// Each attempt holds a credit of the pool's gate.
    var holdsCredit: Bool

    init(_ exchange: Exchange) {
        upstream = exchange.upstream
        toEndpoint = exchange.toEndpoint
        endpointIndex = exchange.endpointIndex
        endpointTable = exchange.endpointTable
        endpoint = exchange.endpoint
        endpointMetrics = exchange.endpointMetrics
        attemptOpen = exchange.attemptOpen
        ticket = exchange.ticket
        ticketMember = exchange.ticketMember
        attemptAt = exchange.attemptAt
        attempt = exchange.attempt
        awaitedSince = exchange.awaitedSince
        firstByteAt = exchange.firstByteAt
        isHedge = exchange.isHedge
        holdsCredit = exchange.holdsCredit
    }

    mutating func trade(with exchange: inout Exchange) {
        swap(&upstream, &exchange.upstream)
        swap(&toEndpoint, &exchange.toEndpoint)
        swap(&endpointIndex, &exchange.endpointIndex)
        swap(&endpointTable, &exchange.endpointTable)
        swap(&endpoint, &exchange.endpoint)
        swap(&endpointMetrics, &exchange.endpointMetrics)
        swap(&attemptOpen, &exchange.attemptOpen)
        swap(&ticket, &exchange.ticket)
        swap(&ticketMember, &exchange.ticketMember)
        swap(&attemptAt, &exchange.attemptAt)
        swap(&attempt, &exchange.attempt)
        exchange.request?.pointee.attempt = UInt32(exchange.attempt)
        swap(&awaitedSince, &exchange.awaitedSince)
        swap(&firstByteAt, &exchange.firstByteAt)
        swap(&isHedge, &exchange.isHedge)
        swap(&holdsCredit, &exchange.holdsCredit)
    }
}
