import SluicePlugin
import TokenFormat
import TokenKeys

/// The keys in force on a worker, and the file that they follow. A file that vanishes or becomes garbage leaves the
/// last good keys in force: "degraded", in the log and the metrics of one worker, since the others say the same.
final class FollowedKeys: TimerTarget {
    private(set) var current: KeySet
    /// Rises with each change of `current`.
    private(set) var version = 0
    private let file: KeyFile?
    private let host: Host
    private let pollNs: UInt64
    private let tells: Bool
    private let metrics: KeyMetrics
    /// Why the file cannot be used at present.
    private var problem: String?
    private var timer: Timers.Timer?

    /// After a look was asked for, its outcome is fetched so much later, and again until it is there. One for which the
    /// pool had no room is asked for again after the same time.
    private static let fetchNs: UInt64 = 20_000_000

    struct KeyMetrics {
        var keys: Gauge
        var degraded: Gauge
        var reads: Counter
        var failures: Counter
    }

    init(_ keys: KeySet, file: KeyFile?, pollNs: UInt64, host: Host, tells: Bool, _ metrics: KeyMetrics) {
        current = keys
        self.file = file
        self.pollNs = pollNs
        self.host = host
        self.tells = tells
        self.metrics = metrics
        super.init()
        // Gauges belong to the worker: its first turn sets them.
        timer = host.timers.start(after: 0, self)
    }

    private var isFirst = true
    private var awaitsFinding = false

    override func fire() {
        var next = pollNs
        if isFirst {
            isFirst = false
            show()
            if tells {
                metrics.reads.add()
                tellIgnored()
            }
        } else if awaitsFinding {
            if let finding = file?.takeFinding() {
                awaitsFinding = false
                take(finding)
            } else {
                next = Self.fetchNs
            }
        } else if let file, file.begin() {
            if host.offload.run(file) {
                awaitsFinding = true
                next = Self.fetchNs
            } else {
                // The pool is busy. A whole round later it might be so again, and who floods it with tokens could
                // keep a key in force that was taken out.
                file.abandon()
                next = Self.fetchNs
            }
        }
        if file != nil { timer = host.timers.start(after: next, self) }
    }

    private func take(_ finding: KeyFile.Finding) {
        switch finding {
        case .unchanged: return
        case .keys(let keys):
            current = keys
            version += 1
            let wasDegraded = problem != nil
            problem = nil
            guard tells else { return }
            metrics.reads.add()
            show()
            let text = "read \(keys.keys.count) keys from \(path)\(wasDegraded ? "; it can be used again" : "")"
            host.log.write(.info, text)
            tellIgnored()
        case .failure(let reason):
            let isNew = problem != reason
            problem = reason
            guard tells else { return }
            metrics.failures.add()
            show()
            guard isNew else { return }
            let text = "degraded: \(path) cannot be used, the last good keys stay in force: \(reason)"
            host.log.write(.warning, text)
        }
    }

    /// A set may have 256 keys: eight say what is wrong.
    private func tellIgnored() {
        for reason in current.ignored.prefix(8) { host.log.write(.warning, "\(path): left out: \(reason)") }
    }

    private func show() {
        guard tells else { return }
        metrics.keys.set(Double(current.keys.count))
        metrics.degraded.set(problem == nil ? 0 : 1)
    }

    private var path: String { file?.path ?? "the configuration" }
}
