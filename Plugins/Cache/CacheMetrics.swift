import SluicePlugin
import Synchronization

/// What the caches of one entry of `plugins:` hold together, over models, workers and generations.
final class CacheTotals: Sendable {
    let bytes = Atomic<Int>(0)
    let entries = Atomic<Int>(0)

    private static let known = Mutex<[String: CacheTotals]>([:])

    /// The totals of the plugin that the configuration calls `name`.
    static func of(_ name: String) -> CacheTotals {
        known.withLock { known in
            if let found = known[name] { return found }
            let made = CacheTotals()
            known[name] = made
            return made
        }
    }
}

/// An instance's part of the totals, which ends with it.
final class CacheShare {
    let totals: CacheTotals
    private var bytes = 0
    private var entries = 0

    init(_ totals: CacheTotals) { self.totals = totals }

    deinit { set(bytes: 0, entries: 0) }

    func set(bytes: Int, entries: Int) {
        totals.bytes.wrappingAdd(bytes - self.bytes, ordering: .relaxed)
        totals.entries.wrappingAdd(entries - self.entries, ordering: .relaxed)
        (self.bytes, self.entries) = (bytes, entries)
    }
}

/// Shows the totals, on the first worker alone: a gauge is summed over workers.
final class TotalsGauge: TimerTarget {
    private let totals: CacheTotals
    private let bytes: Gauge
    private let entries: Gauge
    private let host: Host
    private var timer: Timers.Timer?

    init(_ totals: CacheTotals, bytes: Gauge, entries: Gauge, host: Host) {
        self.totals = totals
        self.bytes = bytes
        self.entries = entries
        self.host = host
        super.init()
        timer = host.timers.start(after: 0, self)
    }

    override func fire() {
        bytes.set(Double(totals.bytes.load(ordering: .relaxed)))
        entries.set(Double(totals.entries.load(ordering: .relaxed)))
        timer = host.timers.start(after: 1_000_000_000, self)
    }
}

/// What a worker counts.
struct CacheMetrics {
    let hits: Counter
    let misses: Counter
    let rescues: Counter
    let bypassed: Counter
    let stored: Counter
    let refused: Counter
    let evictions: Counter
    let changes: Counter
    let bytes: Gauge
    let entries: Gauge

    init(_ metrics: MetricDeclarations) throws(PluginError) {
        hits = try metrics.counter("hits_total", "Requests that were answered from the cache.")
        misses = try metrics.counter("misses_total", "Requests that had no answer in the cache.")
        rescues = try metrics.counter(
            "rescues_total", "Requests that were answered from the cache in place of an error.")
        bypassed = try metrics.counter(
            "bypassed_total", "Requests that the cache was not asked about: by their own wish, kind or size.")
        stored = try metrics.counter("stored_total", "Answers that were kept.")
        refused = try metrics.counter(
            "not_stored_total",
            "Answers to misses that were not kept: no success, a stream, too large, forbidden.")
        evictions = try metrics.counter("evictions_total", "Answers that went to make room for others.")
        changes = try metrics.counter(
            "changes_total", "Requests that changed something, so that the answers of their path were given up.")
        bytes = try metrics.gauge("bytes", "Bytes of the answers that are kept, with their keys.")
        entries = try metrics.gauge("entries", "Answers that are kept.")
    }
}
