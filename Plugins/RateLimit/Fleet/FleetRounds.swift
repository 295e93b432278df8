import RateLimitBuckets
import RateLimitProtocol
import SluicePlugin
import Synchronization

/// One round after the other of telling Redis what this gateway took and learning what the others did, on a thread of
/// their own: a Redis that hangs keeps each of them waiting for as long as the operator allows, and the host's threads
/// for work that blocks are few and others' too, whose requests would wait with it. They serve several instances and
/// outlive most of them, whose services they therefore do not use.
final class FleetRounds: @unchecked Sendable {
    /// What workers show of the rounds since one of them last looked.
    struct News {
        enum Change {
            case connected(isBack: Bool)
            case gone(String)
        }

        var rounds = 0
        var failures = 0
        var dropped = 0
        /// Nil: with Redis it is as it was when somebody last looked.
        var change: Change?
    }

    /// Nanoseconds between two attempts while Redis is away, at first and at last. Doubled from one to the next.
    private static let pauseAtFirst: UInt64 = 100_000_000
    private static let pauseAtLast: UInt64 = 5_000_000_000

    let options: FleetOptions
    /// Kept: the table is where it says, also when the instance is gone.
    let state: SharedState
    /// Which round is under way, over all generations of the plugin's entry: the queues are drained by one at a time.
    private let turn: SharedCounters
    /// The system's resolver may take longer than a round, and nothing breaks it off.
    private let names = NameLookups()
    private let told = Mutex(Told())
    // Of the rounds' thread alone.
    private var reconciliation: Reconciliation
    private var connection: RedisConnection?
    /// Of the memory of Redis, see `FleetStore`. Nil before the first answer of a connection.
    private var epoch: Int64?
    private var pause: UInt64 = 0
    private var notBefore: UInt64 = 0
    private var droppedBefore = 0
    private var random = SystemRandomNumberGenerator()

    private struct Told {
        var news = News()
        var isConnected = false
        /// The latest failure; nil when the latest round went well.
        var problem: String?
        /// Nil before the first round.
        var wasConnected: Bool?
    }

    init(_ options: FleetOptions, _ state: SharedState, _ rings: [ChargeRing], turn: SharedCounters) {
        self.options = options
        self.state = state
        reconciliation = Reconciliation(state.table, rings)
        self.turn = turn
    }

    /// Each change is told once, whichever instance asks.
    func takeNews() -> News {
        told.withLock { told in
            var news = told.news
            told.news = News()
            guard news.rounds + news.failures > 0, told.isConnected != told.wasConnected else { return news }
            news.change =
                told.isConnected
                ? .connected(isBack: told.wasConnected != nil) : .gone(told.problem ?? "away")
            told.wasConnected = told.isConnected
            return news
        }
    }

    /// Until the signal comes; then a round that waits is broken off. What it has not told is not lost: over the next
    /// connection the buckets themselves are told.
    func run(_ signal: StopSignal) {
        while true {
            let begin = StopSignal.now
            // While that of another configuration is under way, this one is passed over.
            if turn.exchange(0, expected: 0, desired: 1) == 0 {
                round(signal)
                turn.store(0, 0)
            }
            // A round that takes longer than the interval is not followed by the next one at once.
            let left = options.interval - (StopSignal.now - begin) % options.interval
            if signal.wait(milliseconds: Int((left + 999_999) / 1_000_000)) == .stopped { return }
        }
    }

    private func round(_ signal: StopSignal) {
        let begin = StopSignal.now
        guard begin >= notBefore else { return giveUp(at: begin) }
        do throws(RedisConnection.Failure) {
            // A connection that is new may be to a Redis that is.
            let isNew = self.connection == nil
            if isNew { self.connection = try RedisConnection(options, names, signal) }
            guard let connection else { return }
            if isNew { epoch = nil }
            var isTold = try tell(all: isNew, connection)
            // All that is known is told, as over a new connection. A Redis that forgets once more is out of order.
            if !isTold { isTold = try tell(all: true, connection) }
            guard isTold else { throw .init(text: "it forgets what it is told") }
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

    /// False: Redis has forgotten what it was told before.
    private func tell(all: Bool, _ connection: RedisConnection) throws(RedisConnection.Failure) -> Bool {
        var rest = reconciliation.collect(all: all) { StopSignal.now }[...]
        // Without anything to tell it is asked all the same: a Redis that is gone, or empty, is seen.
        repeat {
            guard try tell(rest.prefix(FleetStore.bucketsAtOnce), connection) else { return false }
            rest = rest.dropFirst(FleetStore.bucketsAtOnce)
        } while !rest.isEmpty
        return true
    }

    private func tell(
        _ reports: ArraySlice<Reconciliation.Report>, _ connection: RedisConnection
    ) throws(RedisConnection.Failure) -> Bool {
        let sent = StopSignal.now
        // For as long as another round of this gateway may take, and a second.
        let keep = Int(options.interval / 1_000_000) + options.timeout + 1_000
        let command = FleetStore.command(
            reports.map { ($0.key, $0.cost, $0.least(from: sent)) }, prefix: options.prefix, keep: keep)
        let reply: RESPValue
        do throws(RedisConnection.Failure) { reply = try connection.ask(command) } catch {
            if error.isSent { doubt(reports) }
            throw error
        }
        guard let answer = FleetStore.answer(reply, count: reports.count) else {
            // Also of an error: the script may have come to its middle.
            doubt(reports)
            guard case .error(let text) = reply else { throw .init(text: "its answer is none to the script") }
            throw .init(text: "it refuses the script: \(RedisConnection.printable(text))")
        }
        let before = epoch
        epoch = answer.epoch
        if let before, before != answer.epoch {
            // It took them, and lacks all that was before: how it says they stand must not be taken over.
            doubt(reports)
            return false
        }
        let now = StopSignal.now
        var refusal: String?
        for (report, standing) in zip(reports, answer.buckets) {
            switch standing {
            case .ahead(let ahead): reconciliation.settle(report, ahead: ahead, sent: sent, now: now)
            case .refused(let reason):
                reconciliation.refuse(report, now: now)
                refusal = reason
            }
        }
        if let refusal { throw .init(text: "it refuses a bucket: \(RedisConnection.printable(refusal))") }
        return true
    }

    private func doubt(_ reports: ArraySlice<Reconciliation.Report>) {
        for report in reports { reconciliation.doubt(report) }
    }

    private func note(_ problem: String?) {
        let dropped = reconciliation.dropped - droppedBefore
        droppedBefore = reconciliation.dropped
        told.withLock { told in
            told.problem = problem
            told.isConnected = problem == nil
            if problem == nil { told.news.rounds += 1 } else { told.news.failures += 1 }
            told.news.dropped += dropped
        }
    }
}
