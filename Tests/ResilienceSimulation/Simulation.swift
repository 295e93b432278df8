import Resilience
import SluiceHashing

/// A gateway with one pool under a virtual clock: requests of tenants wait in the queue, are shed, go to endpoints that
/// fail, freeze, flap and are slow, are retried and given up; breakers, outlier detection and checks watch. No sockets,
/// no threads, no real time: a seed decides everything.
///
/// Beside the machines stands what is known about them by plain accounts (`Simulation+Properties`). The first thing
/// that does not agree ends the run.
public final class Simulation {
    let scenario: Scenario
    var random: SplitMix64
    var events = EventQueue()
    var now: UInt64 = 0
    var report: SimulationReport

    var endpoints: [EndpointModel] = []
    var requests: [RequestModel] = []
    var queue: AdmissionQueue
    var limit: ConcurrencyLimit
    var detector: OutlierDetector
    let budgetCell = UnsafeMutablePointer<RetryBudgetCell>.allocate(capacity: 1)
    let breakerSettings = UnsafeMutablePointer<CircuitBreakerSettings>.allocate(capacity: 1)
    var inFlight = 0
    var turn = 0

    // Accounts.
    var waiting: [Int] = []
    var served = 0
    var servedOf: [Int]
    var activeRequests = 0
    var activeRetries = 0
    var hedges = HedgeAllowance()
    var hedgesInFlight = 0
    var hedgesMade = 0

    /// Requests after recovery, further apart than the slowest endpoint takes for one.
    static let samples = 10
    static let sampleGap = 20 * millisecond
    /// A run has a few thousand events.
    static let eventBound = 100_000

    public init(seed: UInt64) {
        random = SplitMix64(seed: seed)
        report = SimulationReport(seed: seed)
        scenario = Scenario(&random)
        queue = AdmissionQueue(scenario.admission)
        limit = ConcurrencyLimit(scenario.limit)
        detector = OutlierDetector(scenario.outlier)
        servedOf = Array(repeating: 0, count: scenario.tenants.count)
        budgetCell.initialize(to: RetryBudgetCell())
        breakerSettings.initialize(to: scenario.breaker)
        for _ in 0..<scenario.endpoints {
            let latency = random.of(millisecond...4 * millisecond)
            endpoints.append(EndpointModel(latency: latency, health: scenario.health))
        }
        _ = detector.setHosts(endpoints.indices.map { (UInt64($0), OutlierTotals(), 0) })
    }

    deinit {
        queue.deallocate()
        budgetCell.deinitialize(count: 1)
        budgetCell.deallocate()
        breakerSettings.deallocate()
    }

    var budget: RetryBudget { RetryBudget(budgetCell) }
    func breaker(_ endpoint: EndpointModel) -> CircuitBreaker { CircuitBreaker(endpoint.breakerCell, breakerSettings) }

    public static func run(seed: UInt64) -> SimulationReport {
        let simulation = Simulation(seed: seed)
        simulation.run()
        return simulation.report
    }

    private func run() {
        for (index, tenant) in scenario.tenants.enumerated() {
            schedule(.arrival, index, after: random.below(tenant.gap))
        }
        for endpoint in endpoints.indices {
            let time = HealthState.firstCheck(now: now, random: random.next(), scenario.health)
            events.add(Event(time: time, kind: .check, subject: endpoint))
            schedule(.behaviour, endpoint, after: random.below(400 * millisecond))
        }
        schedule(.outlierInterval, 0, after: scenario.outlier.interval)
        for sample in 0..<Self.samples {
            events.add(
                Event(
                    time: scenario.recovered + UInt64(sample) * Self.sampleGap, kind: .sample, subject: sample))
        }
        var handled = 0
        while report.violation == nil, let event = events.next() {
            now = event.time
            note(UInt64(event.kind.rawValue) << 56 ^ UInt64(truncatingIfNeeded: event.subject) << 40 ^ now)
            handle(event)
            checkAccounts()
            handled += 1
            if handled == Self.eventBound { violated("the run does not end") }
        }
        if report.violation == nil { checkEnd() }
    }

    private func handle(_ event: Event) {
        switch event.kind {
        case .arrival: arrives(tenant: event.subject)
        case .sample: sampleArrives(event.subject)
        case .attemptEnds: attemptEnds(event.subject, event.serial)
        case .retry: retryIsDue(event.subject, event.serial)
        case .hedgeDue: hedgeIsDue(event.subject, event.serial)
        case .clientLeaves: clientLeaves(event.subject)
        case .queueDeadline:
            expire()
            pump()
        case .check: check(event.subject)
        case .outlierInterval: outlierInterval()
        case .outlierReturn:
            apply(detector.giveBack(now: now))
            if let next = detector.nextReturn, next <= now { violated("an endpoint is out longer than it should be") }
        case .behaviour: behaviourChanges(event.subject)
        }
    }

    /// Load and checks go on until the samples are over.
    var isOver: Bool { now > scenario.recovered + UInt64(Self.samples) * Self.sampleGap }

    func schedule(_ kind: Event.Kind, _ subject: Int, after time: UInt64, serial: UInt32 = 0) {
        events.add(Event(time: now + time, kind: kind, subject: subject, serial: serial))
    }

    func count(_ happening: SimulationReport.Happening) { report.counts[happening.rawValue] += 1 }

    /// FNV-1a (RFC 9923), by words.
    func note(_ word: UInt64) { report.digest = (report.digest ^ word) &* 0x0000_0100_0000_01b3 }

    private func behaviourChanges(_ index: Int) {
        let endpoint = endpoints[index]
        guard now < scenario.calm else {
            endpoint.behaviour = .well
            return
        }
        endpoint.behaviour = EndpointModel.Behaviour.allCases[random.below(EndpointModel.Behaviour.allCases.count)]
        endpoint.period = random.of(3 * millisecond...60 * millisecond)
        let next = min(now + random.of(20 * millisecond...500 * millisecond), scenario.calm)
        events.add(Event(time: next, kind: .behaviour, subject: index))
    }
}
