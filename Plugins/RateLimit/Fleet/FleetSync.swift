import Glibc
import RateLimitBuckets
import RateLimitProtocol
import SluicePlugin
import Synchronization

/// One round after the other of telling Redis what this gateway took and learning what the others did. On threads of
/// the host for work that blocks; it outlives the instance that began it, whose services it therefore does not use.
final class FleetSync: OffloadTarget, @unchecked Sendable {
    /// What the worker shows of the rounds since it last looked.
    struct News {
        var isConnected = false
        var rounds = 0
        var failures = 0
        var dropped = 0
        /// The latest failure; nil when the latest round went well.
        var problem: String?
    }

    /// Nanoseconds between two attempts while Redis is away, at first and at last. Doubled from one to the next.
    private static let pauseAtFirst: UInt64 = 100_000_000
    private static let pauseAtLast: UInt64 = 5_000_000_000

    private let options: FleetOptions
    /// Kept: the table is where it says, also when the instance is gone.
    private let state: SharedState
    /// Which round is under way, over all generations of the plugin's entry: the queues are drained by one at a time.
    private let turn: SharedCounters
    /// The host's resolver may take its time on a thread of its own: those for work that blocks are few.
    private let names = NameLookups()
    private let isRunning = Atomic<Bool>(false)
    private let news = Mutex(News())
    // Of the round's thread alone.
    private var reconciliation: Reconciliation
    private var connection: RedisConnection?
    private var pause: UInt64 = 0
    private var notBefore: UInt64 = 0
    private var droppedBefore = 0
    private var random = SystemRandomNumberGenerator()

    init(_ options: FleetOptions, _ state: SharedState, _ rings: [ChargeRing], turn: SharedCounters) {
        self.options = options
        self.state = state
        reconciliation = Reconciliation(state.table, rings)
        self.turn = turn
    }

    /// False while a round is under way.
    func begin() -> Bool { !isRunning.exchange(true, ordering: .acquiringAndReleasing) }

    /// The round that `begin` allowed will not come.
    func abandon() { isRunning.store(false, ordering: .releasing) }

    func takeNews() -> News {
        news.withLock { news in
            defer { news = News(isConnected: news.isConnected, problem: news.problem) }
            return news
        }
    }

    override func run() {
        // While another generation's round is under way, this one is passed over.
        if turn.exchange(0, expected: 0, desired: 1) == 0 {
            round()
            turn.store(0, 0)
        }
        isRunning.store(false, ordering: .releasing)
    }

    private func round() {
        let begin = StopSignal.now
        guard begin >= notBefore else { return giveUp(at: begin) }
        do throws(RedisConnection.Failure) {
            // A connection that is new may be to a Redis that is.
            let isNew = self.connection == nil
            if isNew { self.connection = try RedisConnection(options, names) }
            guard let connection else { return }
            var rest = reconciliation.collect(all: isNew) { StopSignal.now }[...]
            // Without anything to tell the connection is looked after all the same: a Redis that is gone is seen.
            if rest.isEmpty { _ = try connection.ask(RESPWriter.command(["PING"])) }
            while !rest.isEmpty {
                try tell(rest.prefix(FleetStore.bucketsAtOnce), connection)
                rest = rest.dropFirst(FleetStore.bucketsAtOnce)
            }
            pause = 0
            note(nil)
        } catch {
            connection = nil
            let now = StopSignal.now
            giveUp(at: now)
            // Up to a half more: the gateways of a fleet must not come back all at once.
            pause = min(max(pause * 2, Self.pauseAtFirst), Self.pauseAtLast)
            notBefore = now + pause + UInt64.random(in: 0...(pause / 2), using: &random)
            note(error.text)
        }
    }

    /// The queues are emptied all the same, and what has run out by itself need not be told.
    private func giveUp(at now: UInt64) {
        _ = reconciliation.collect { now }
        reconciliation.fail(now: now)
    }

    private func tell(
        _ reports: ArraySlice<Reconciliation.Report>, _ connection: RedisConnection
    ) throws(RedisConnection.Failure) {
        let command = FleetStore.command(reports.map { ($0.key, $0.cost, $0.floor) }, prefix: options.prefix)
        let reply: RESPValue
        do throws(RedisConnection.Failure) { reply = try connection.ask(command) } catch {
            if error.isSent { doubt(reports) }
            throw error
        }
        guard let ahead = FleetStore.answer(reply, count: reports.count) else {
            if case .error(let text) = reply {
                throw .init(text: "it refuses the script: \(RedisConnection.printable(text))")
            }
            doubt(reports)
            throw .init(text: "its answer is none to the script")
        }
        let now = StopSignal.now
        for (report, ahead) in zip(reports, ahead) { reconciliation.settle(report, ahead: ahead, now: now) }
    }

    private func doubt(_ reports: ArraySlice<Reconciliation.Report>) {
        for report in reports { reconciliation.doubt(report) }
    }

    private func note(_ problem: String?) {
        let dropped = reconciliation.dropped - droppedBefore
        droppedBefore = reconciliation.dropped
        news.withLock { news in
            news.isConnected = problem == nil
            news.problem = problem
            if problem == nil { news.rounds += 1 } else { news.failures += 1 }
            news.dropped += dropped
        }
    }
}

/// What the first worker's instance does every so often: it starts rounds, and shows how they went.
final class FleetHousekeeping: TimerTarget {
    private let host: Host
    private let sync: FleetSync
    private let interval: UInt64
    private let address: String
    private let connected: Gauge
    private let rounds: Counter
    private let failures: Counter
    private let untold: Counter
    /// Nil before the first round.
    private var wasConnected: Bool?

    init(_ context: Context, _ options: FleetOptions, _ sync: FleetSync, untold: Counter) throws(PluginError) {
        host = context.host
        self.sync = sync
        interval = options.interval
        address = options.address
        self.untold = untold
        connected = try context.metrics.gauge(
            "redis_connected", "1 while limits are shared by Redis, 0 while this gateway's own buckets count alone.")
        rounds = try context.metrics.counter("redis_rounds_total", "Rounds in which Redis was told and asked.")
        failures = try context.metrics.counter("redis_failures_total", "Rounds that failed.")
    }

    /// The first round comes as soon as the worker has taken the generation over, which never happens during a check.
    func begin() { _ = host.timers.start(after: 1_000_000, self) }

    override func fire() {
        _ = host.timers.start(after: interval, self)
        let news = sync.takeNews()
        if news.rounds > 0 { rounds.add(Double(news.rounds)) }
        if news.failures > 0 { failures.add(Double(news.failures)) }
        if news.dropped > 0 { untold.add(Double(news.dropped)) }
        if news.rounds + news.failures > 0, news.isConnected != wasConnected {
            // Once for each time that it goes or comes back.
            connected.set(news.isConnected ? 1 : 0)
            if !news.isConnected {
                host.log.write(
                    .warning,
                    "Redis at \(address): \(news.problem ?? "away"); limits are this gateway's own until it is back")
            } else if wasConnected == false {
                host.log.write(.info, "Redis at \(address) is back; limits are shared again")
            }
            wasConnected = news.isConnected
        }
        guard sync.begin() else { return }
        if !host.offload.run(sync) { sync.abandon() }
    }
}
