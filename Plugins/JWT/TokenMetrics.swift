import SluicePlugin
import TokenFormat

/// What a worker counts of tokens.
struct TokenMetrics {
    let accepted: Counter
    let hits: Counter
    let misses: Counter
    let busy: Counter
    let keys: FollowedKeys.KeyMetrics
    /// By the refusal's raw value.
    private let refused: [Counter]

    init(_ metrics: MetricDeclarations) throws(PluginError) {
        accepted = try metrics.counter("accepted_total", "Requests that were let in with a token.")
        hits = try metrics.counter("cache_hits_total", "Tokens that were known to be good.")
        misses = try metrics.counter("cache_misses_total", "Tokens whose signature had to be checked.")
        busy = try metrics.counter("busy_total", "Requests that were turned away because too many checks waited.")
        var byReason: [String: Counter] = [:]
        for reason in Set(Refusal.allCases.map(\.reason)).sorted() {
            byReason[reason] = try metrics.counter(
                "refused_total", "Requests that were refused.", labels: [("reason", reason)])
        }
        refused = Refusal.allCases.compactMap { byReason[$0.reason] }
        keys = FollowedKeys.KeyMetrics(
            keys: try metrics.gauge("keys", "Keys in force."),
            degraded: try metrics.gauge(
                "degraded", "1 while the file of keys cannot be used and the last good keys stay in force."),
            reads: try metrics.counter("key_reads_total", "Sets of keys that were read and taken."),
            failures: try metrics.counter(
                "key_failures_total", "Looks at the file of keys that found nothing that can be used."))
    }

    func refused(_ refusal: Refusal) { refused[refusal.rawValue].add() }
}
