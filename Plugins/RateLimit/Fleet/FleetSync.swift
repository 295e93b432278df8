import RateLimitBuckets
import SluicePlugin
import Synchronization

/// The rounds of one entry of `plugins:` and their thread. One is enough for all instances on the first worker, of
/// which each model has one whose `filters` name the entry, and for the next generation's, unless the operator wants
/// another Redis: threads and connections are as many as entries, and a reload that changes neither breaks off nothing.
final class FleetSync: Sendable {
    private let rounds: FleetRounds
    private let thread = Mutex<SourceThread?>(nil)

    private struct Known {
        weak var sync: FleetSync?
    }
    private static let known = Mutex<[Known]>([])

    /// That of other instances, when it is of the same buckets and the same Redis.
    static func of(
        _ options: FleetOptions, _ state: SharedState, _ rings: [ChargeRing], turn: SharedCounters
    ) -> FleetSync {
        known.withLock { known in
            known.removeAll { $0.sync == nil }
            for place in known {
                if let sync = place.sync, sync.rounds.options == options, sync.rounds.state.isSame(as: state) {
                    return sync
                }
            }
            let made = FleetSync(FleetRounds(options, state, rings, turn: turn))
            known.append(Known(sync: made))
            return made
        }
    }

    private init(_ rounds: FleetRounds) { self.rounds = rounds }

    /// With the last instance, on the control thread: the end of the thread is waited for, and never far.
    deinit { thread.withLock { $0?.stop() } }

    /// Begins the rounds, unless they have begun. On the worker: a check makes instances, too, and is to leave Redis
    /// alone. False: the process has no thread or descriptor left.
    func begin() -> Bool {
        thread.withLock { thread in
            if thread == nil { thread = try? SourceThread(name: "sluice-redis") { [rounds] in rounds.run($0) } }
            return thread != nil
        }
    }

    func takeNews() -> FleetRounds.News { rounds.takeNews() }
}

/// What an instance on the first worker does every so often: it shows how the rounds went.
final class FleetHousekeeping: TimerTarget {
    private let host: Host
    private let sync: FleetSync
    private let interval: UInt64
    private let address: String
    private let connected: Gauge
    private let degraded: Gauge
    private let rounds: Counter
    private let failures: Counter
    private let untold: Counter
    private var saidWhy = false
    /// What was heard last; nil: nothing yet.
    private var isConnected: Bool?

    init(_ context: Context, _ options: FleetOptions, _ sync: FleetSync, untold: Counter) throws(PluginError) {
        host = context.host
        self.sync = sync
        interval = options.interval
        address = options.address
        self.untold = untold
        connected = try context.metrics.gauge(
            "redis_connected", "1 while limits are shared by Redis, 0 while this gateway's own buckets count alone.")
        degraded = try context.metrics.gauge(
            "degraded", "1 while Redis is away, so that limits are this gateway's own.")
        rounds = try context.metrics.counter("redis_rounds_total", "Rounds in which Redis was told and asked.")
        failures = try context.metrics.counter("redis_failures_total", "Rounds that failed.")
    }

    /// The rounds begin as soon as the worker has taken the generation over, which never happens during a check.
    func begin() { _ = host.timers.start(after: 1_000_000, self) }

    override func fire() {
        _ = host.timers.start(after: interval, self)
        guard sync.begin() else {
            if !saidWhy { host.log.write(.warning, "no thread is left for Redis; limits are this gateway's own") }
            saidWhy = true
            degraded.set(1)
            return
        }
        let news = sync.takeNews()
        if news.rounds > 0 { rounds.add(Double(news.rounds)) }
        if news.failures > 0 { failures.add(Double(news.failures)) }
        if news.dropped > 0 { untold.add(Double(news.dropped)) }
        switch news.change {
        case .gone(let problem):
            isConnected = false
            host.log.write(
                .warning, "Redis at \(address): \(problem); limits are this gateway's own until it is back")
        case .connected(let isBack):
            isConnected = true
            if isBack { host.log.write(.info, "Redis at \(address) is back; limits are shared again") }
        case nil: break
        }
        // Each time: an instance of the configuration before, which goes on for a while with a Redis of its own, writes
        // the same gauges.
        guard let isConnected else { return }
        degraded.set(isConnected ? 0 : 1)
        connected.set(isConnected ? 1 : 0)
    }
}
