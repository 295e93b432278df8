/// When an endpoint is taken out of its pool for what its answers show. Times are nanoseconds.
public struct OutlierSettings: Sendable, Equatable {
    /// Failures in a row; 0 does not count them.
    public var consecutiveFailures: UInt32 = 5
    /// How often rates and latencies are compared.
    public var interval: UInt64 = 10_000_000_000
    /// The first ejection lasts this long, the n-th n times as long.
    public var baseEjectionTime: UInt64 = 30_000_000_000
    /// The longest one, jitter aside; also the first, where that would be longer.
    public var maximumEjectionTime: UInt64 = 300_000_000_000
    /// Random share of the time that is added to it, 0 to 1, so that those ejected together return one by one.
    public var jitter: Double = 0.1
    /// Of a pool's endpoints, how many may be out at once, 0 to 1. One may always be, of two and more; never all, and
    /// never the last one that checks leave in the pool.
    public var maximumEjectedShare: Double = 0.3
    /// Endpoints with enough answers below which none is compared with the others.
    public var minimumHosts: Int = 5
    /// Answers in an interval below which an endpoint says nothing.
    public var minimumRequests: UInt64 = 100
    /// An endpoint whose share of good answers is more than this many standard deviations below the pool's mean is
    /// ejected; 0 does not compare. Of n endpoints one alone can be at most √(n − 1) deviations away: 2 of five, which
    /// is why this is less.
    public var successRateDeviations: Double = 1.7
    /// … and at least this much below the mean, or in a pool where all is well the first error would be an outlier:
    /// whatever the deviations are, 5 of 100 answers are few enough to be chance.
    public var successRateMargin: Double = 0.05
    /// An endpoint whose mean latency is more than this many times the pool's median is ejected; 0 does not compare.
    /// The median, as one slow endpoint of few would move a mean and a deviation so far that it never stands out.
    public var latencyFactor: Double = 3
    /// … and at least so much above it: nobody is hurt by 300 µs instead of 100, and 50 ms are what a pause of a
    /// garbage collector or a slow look-up adds to an endpoint that is well.
    public var latencyMargin: UInt64 = 50_000_000

    public init() {}
}

public enum OutlierReason: UInt8, Sendable {
    case consecutiveFailures, successRate, latency
}

/// What changed; hosts by their place in the detector's list.
public enum OutlierChange: Sendable, Equatable {
    case ejected(host: Int, OutlierReason, until: UInt64)
    case returned(host: Int)
}

/// Passive health of one pool: who does worse than the others is taken out for a while, longer each time, but never
/// more than a share of the pool. The rules follow Envoy's outlier detection (its documentation, "Outlier detection")
/// in what is compared and how ejections grow and decay, with margins of its own.
///
/// A value that one thread owns, off the way of requests: told when an endpoint failed often in a row, and asked once
/// an interval with what was counted since.
public struct OutlierDetector: Sendable {
    public struct Host: Sendable, Equatable {
        public let id: UInt64
        /// 0 when it is not ejected.
        public fileprivate(set) var ejectedUntil: UInt64 = 0
        /// Ejections, less one for each interval that went well: what the next one's time is multiplied with.
        public fileprivate(set) var ejections: UInt32 = 0
        fileprivate var totals: OutlierTotals
        /// It was in the pool when the present interval began.
        fileprivate var isInFromBegin = false
        /// In whole intervals since its last ejection, or since one was forgotten.
        fileprivate var answers: UInt64 = 0
        /// Checks keep it out of the pool.
        public fileprivate(set) var isDown = false

        public var isEjected: Bool { ejectedUntil != 0 }
        /// Requests go to it, as far as checks and the detector know.
        fileprivate var isIn: Bool { !isDown && !isEjected }
    }

    public var settings: OutlierSettings
    public private(set) var hosts: [Host] = []
    public private(set) var ejected = 0
    /// When the present interval is over; 0: none has begun. Kept here, for whoever runs the timers may change more
    /// often than intervals end.
    public private(set) var intervalEnd: UInt64 = 0

    public init(_ settings: OutlierSettings) { self.settings = settings }

    /// How many may be out at once.
    public var cap: Int {
        // 29 percent of 100 are 28.999…, as doubles have them.
        let share = Int(settings.maximumEjectedShare * Double(hosts.count) + 1e-9)
        return min(max(share, 1), max(hosts.count - 1, 0))
    }

    /// Somebody runs the timers from now on: an interval that is under way goes on, and ends no later than a new one
    /// would. When it is over, in nanoseconds.
    public mutating func resume(now: UInt64) -> UInt64 {
        intervalEnd = min(intervalEnd == 0 ? .max : intervalEnd, now &+ settings.interval)
        return intervalEnd
    }

    /// Nobody compares any more.
    public mutating func suspend() -> [OutlierChange] {
        intervalEnd = 0
        return setHosts([])
    }

    /// Those who stay keep their state, found by id; `totals` are what the cells hold now. When more are out than may
    /// be, since the pool has shrunk or somebody came back to it, those whose time is over first return now.
    /// - Parameter list: `ejectedUntil` of one who comes, other than 0, says that it was ejected when it left: it stays
    ///   out for its time, and counts among those that are.
    public mutating func setHosts(
        _ list: [(id: UInt64, totals: OutlierTotals, ejectedUntil: UInt64)]
    ) -> [OutlierChange] {
        var known: [UInt64: Host] = [:]
        for host in hosts { known[host.id] = host }
        hosts = list.map {
            known[$0.id]
                ?? Host(
                    id: $0.id, ejectedUntil: $0.ejectedUntil, ejections: $0.ejectedUntil == 0 ? 0 : 1,
                    totals: $0.totals)
        }
        ejected = hosts.count { $0.isEjected }
        var changes: [OutlierChange] = []
        let out = hosts.indices.filter { hosts[$0].isEjected }
        for index in out.sorted(by: { hosts[$0].ejectedUntil < hosts[$1].ejectedUntil }) where ejected > cap {
            changes.append(giveBack(index))
        }
        return changes
    }

    /// Tells it whom checks keep out. When they leave nobody that is not ejected, the one whose time is over first
    /// returns now: it may fail, but nobody else can do better.
    /// - Parameter isDown: whether checks keep the host at that place out.
    public mutating func setDown(_ isDown: (Int) -> Bool) -> [OutlierChange] {
        for index in hosts.indices { hosts[index].isDown = isDown(index) }
        guard ejected > 0, !hosts.contains(where: \.isIn) else { return [] }
        let living = hosts.indices.filter { !hosts[$0].isDown }
        return living.min { hosts[$0].ejectedUntil < hosts[$1].ejectedUntil }.map { [giveBack($0)] } ?? []
    }

    /// An endpoint failed `settings.consecutiveFailures` times in a row. Nil when it stays: it is out already, or as
    /// many as may be are.
    public mutating func failedInARow(_ host: Int, now: UInt64, random: UInt64) -> OutlierChange? {
        guard settings.consecutiveFailures > 0 else { return nil }
        return eject(host, .consecutiveFailures, now: now, random: random)
    }

    /// The next time at which `giveBack` has something to do; nil when nobody is out.
    public var nextReturn: UInt64? { hosts.lazy.filter(\.isEjected).map(\.ejectedUntil).min() }

    /// Whose time is over returns.
    public mutating func giveBack(now: UInt64) -> [OutlierChange] {
        guard ejected > 0 else { return [] }
        return hosts.indices.filter { hosts[$0].isEjected && hosts[$0].ejectedUntil <= now }.map { giveBack($0) }
    }

    /// One interval is over: `totals` are what the cells of all hosts hold, in their order.
    public mutating func evaluate(
        _ totals: [OutlierTotals], now: UInt64, random: inout some RandomNumberGenerator
    ) -> [OutlierChange] {
        precondition(totals.count == hosts.count, "totals of another list of hosts")
        intervalEnd = now &+ settings.interval
        var changes = giveBack(now: now)
        let wasOut = hosts.map(\.isEjected)
        let interval = hosts.indices.map { totals[$0].since(hosts[$0].totals) }
        for index in hosts.indices { hosts[index].totals = totals[index] }
        // Who is out has only stragglers to show.
        let compared = hosts.indices.filter { !wasOut[$0] && interval[$0].answers >= max(settings.minimumRequests, 1) }
        if compared.count >= max(settings.minimumHosts, 2) {
            let rates = compared.map { index in
                (index: index, rate: 1 - Double(interval[index].failures) / Double(interval[index].answers))
            }
            for index in Self.failing(rates, settings) {
                if let change = eject(index, .successRate, now: now, random: random.next()) { changes.append(change) }
            }
            let latencies = compared.compactMap { index -> (index: Int, latency: Double)? in
                let good = interval[index].answers - interval[index].failures
                guard good >= max(settings.minimumRequests, 1) else { return nil }
                return (index, Double(interval[index].latency) / Double(good))
            }
            for index in Self.slow(latencies, settings) {
                if let change = eject(index, .latency, now: now, random: random.next()) { changes.append(change) }
            }
        }
        for index in hosts.indices { forgive(index, answers: interval[index].answers) }
        return changes
    }

    /// An interval is over, and what the host answered in it is known. What goes well makes its next ejection shorter:
    /// but neither the rest of an interval in which it came back, nor one in which nobody asked it, shows that it does.
    private mutating func forgive(_ index: Int, answers: UInt64) {
        guard !hosts[index].isEjected else {
            hosts[index].answers = 0
            return
        }
        defer { hosts[index].isInFromBegin = true }
        guard hosts[index].isInFromBegin, hosts[index].ejections > 0 else { return }
        hosts[index].answers += answers
        guard hosts[index].answers >= max(settings.minimumRequests, 1) else { return }
        hosts[index].answers = 0
        hosts[index].ejections -= 1
    }

    /// Those whose rate is too far below the mean, the worst first.
    static func failing(_ rates: [(index: Int, rate: Double)], _ settings: OutlierSettings) -> [Int] {
        guard settings.successRateDeviations > 0, !rates.isEmpty else { return [] }
        let mean = rates.reduce(0) { $0 + $1.rate } / Double(rates.count)
        let variance = rates.reduce(0) { $0 + ($1.rate - mean) * ($1.rate - mean) } / Double(rates.count)
        let least = min(
            mean - settings.successRateDeviations * variance.squareRoot(), mean - settings.successRateMargin)
        return rates.filter { $0.rate < least }.sorted { ($0.rate, $0.index) < ($1.rate, $1.index) }.map(\.index)
    }

    /// Those who are too far above the median, the slowest first.
    static func slow(_ latencies: [(index: Int, latency: Double)], _ settings: OutlierSettings) -> [Int] {
        guard settings.latencyFactor > 0, latencies.count >= max(settings.minimumHosts, 2) else { return [] }
        // Of an even number the lower one: of two, the other is what one is compared with.
        let median = latencies.map(\.latency).sorted()[(latencies.count - 1) / 2]
        let most = max(median * settings.latencyFactor, median + Double(settings.latencyMargin))
        return latencies.filter { $0.latency > most }
            .sorted { ($1.latency, $0.index) < ($0.latency, $1.index) }.map(\.index)
    }

    private mutating func eject(_ index: Int, _ reason: OutlierReason, now: UInt64, random: UInt64) -> OutlierChange? {
        guard !hosts[index].isEjected, ejected < cap,
            hosts.indices.contains(where: { $0 != index && hosts[$0].isIn })
        else { return nil }
        hosts[index].isInFromBegin = false
        hosts[index].answers = 0
        hosts[index].ejections = min(hosts[index].ejections + 1, 1 << 16)
        let time = Draw.scaled(
            settings.baseEjectionTime, by: Double(hosts[index].ejections), cap: settings.maximumEjectionTime)
        let spread = Draw.scaled(time, by: settings.jitter, cap: time)
        hosts[index].ejectedUntil = max(now &+ time &+ Draw.upTo(spread, random), 1)
        ejected += 1
        return .ejected(host: index, reason, until: hosts[index].ejectedUntil)
    }

    private mutating func giveBack(_ index: Int) -> OutlierChange {
        hosts[index].ejectedUntil = 0
        ejected -= 1
        return .returned(host: index)
    }
}
