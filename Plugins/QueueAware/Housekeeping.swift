import SluicePlugin

/// What the first worker's instance does every so often: it starts rounds of scraping, and shows how many endpoints
/// are known.
final class Housekeeping: TimerTarget {
    private let host: Host
    private let table: ReportTable
    private let scraper: Scraper?
    /// Nanoseconds.
    private let interval: UInt64
    private let maxAge: UInt32
    private let pages: Counter
    private let failures: Counter
    private let known: Gauge
    /// Of the endpoints.
    private var slots: [Int] = []
    private var said: String?

    init(
        _ context: Context, _ table: ReportTable, _ scraper: Scraper?, interval: UInt32, maxAge: UInt32
    ) throws(PluginError) {
        host = context.host
        self.table = table
        self.scraper = scraper
        self.interval = UInt64(interval) * 1_000_000
        self.maxAge = maxAge
        let labels = [("model", context.model), ("version", context.version)]
        pages = try context.metrics.counter(
            "pages_total", "Pages of metrics that told an endpoint's load.", labels: labels)
        failures = try context.metrics.counter(
            "page_failures_total", "Pages of metrics that could not be had or read.", labels: labels)
        known = try context.metrics.gauge(
            "known_endpoints", "Endpoints whose load is known and not too old.", labels: labels)
    }

    /// Nanoseconds until the first round: as soon as the worker has taken the generation over.
    static let firstDelay: UInt64 = 1_000_000

    func begin() { _ = host.timers.start(after: Self.firstDelay, self) }

    func endpointsChanged(_ slots: [Int]) { self.slots = slots }

    override func fire() {
        _ = host.timers.start(after: interval, self)
        let now = host.clock.monotonic
        let time = Report.time(nanoseconds: now)
        known.set(Double(slots.count { $0 >= 0 && table.report(at: $0).isFresh(at: time, limit: maxAge) }))
        guard let scraper else { return }
        tell(scraper)
        guard table.takesRound(at: now, interval: interval) else { return }
        guard scraper.begin(at: time) else { return }
        if !host.offload.run(scraper) { scraper.abandon() }
    }

    /// The instance's metrics and log are its worker's; the round's thread only counts.
    private func tell(_ scraper: Scraper) {
        let fetched = scraper.pages.exchange(0, ordering: .relaxed)
        if fetched > 0 { pages.add(Double(fetched)) }
        let failed = scraper.failures.exchange(0, ordering: .relaxed)
        if failed > 0 { failures.add(Double(failed)) }
        let problem = scraper.problem.withLock { latest in
            defer { latest = nil }
            return latest
        }
        // One that lasts is written once.
        guard problem != said, problem != nil || fetched > 0 else { return }
        said = problem
        if let problem { host.log.write(.warning, problem) }
    }
}
