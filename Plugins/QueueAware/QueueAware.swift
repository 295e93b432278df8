import LoadReports
import SluiceBalancing
import SluicePlugin

/// The endpoint with the least to do, by what the endpoints themselves say: how many requests wait there, from whatever
/// client, and how full the cache of attention keys and values is. Both come from the heads of answers, from pages of
/// metrics that are fetched beside the traffic, or from both; the attempts that this gateway has under way count too.
///
/// An endpoint's cost is
///
///     (in flight + 1 + queue_weight × waiting) / (weight × (1 - cache_weight × cache use))
///
/// and the lowest is taken. What has not been confirmed for `max_age_ms` is forgotten. An endpoint that says nothing
/// stands for the mean of those that do; where heads of answers are read it stands for the best of them, since it only
/// tells its load when it is asked something. When none is known, this is least request.
struct QueueAware: Balancer {
    static let plugin = PluginDescription(
        name: "queue-aware", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")
    static var readsResponseHeads: Bool { true }

    /// Endpoints that one pick looks at. Of more, as many from a random place on: the least of 64 is hardly worse than
    /// the least of all (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001, shows how little
    /// each further choice adds), and 1,000 would take several times a microsecond.
    private static let looksAtMost = 64

    private let host: Host
    private let options: Options
    /// Requests say that their answers shall tell the load.
    private let asks: Bool
    private let table: ReportTable
    private let scraper: Scraper?
    /// On the first worker; kept for its timer.
    private let housekeeping: Housekeeping?
    private let blindPicks: Counter
    /// Of each endpoint its id, and its place in the table, -1 without one.
    private var ids: [UInt64] = []
    private var slots: [Int32] = []
    private var start: SearchStart

    init(_ context: Context) throws(PluginError) {
        options = try Options(context)
        asks = options.headers.map { !$0.ask.isEmpty } ?? false
        host = context.host
        table = try ReportTable(
            context.state, name: "\(context.model)/\(context.version)", endpoints: options.maxEndpoints,
            maxAge: options.maxAge)
        let labels = [("model", context.model), ("version", context.version)]
        blindPicks = try context.metrics.counter(
            "blind_picks_total", "Picks for which no endpoint's load was known: by least request.",
            labels: labels)
        start = SearchStart(context, looksAtMost: Self.looksAtMost)
        guard context.worker == nil || context.worker == 0 else {
            scraper = nil
            housekeeping = nil
            return
        }
        var made: Scraper?
        if let scrape = options.scrape {
            made = Scraper(table, scrape, queue: options.queueNames, cache: options.cacheNames)
        }
        scraper = made
        housekeeping = try Housekeeping(
            context, table, made, interval: options.scrape?.interval ?? 1_000, maxAge: options.maxAge)
        housekeeping?.begin()
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        let now = Report.time(nanoseconds: host.clock.monotonic)
        for endpoint in endpoints { table.keep(endpoint.id, now: now) }
        ids = endpoints.map(\.id)
        slots = ids.map { Int32(table.place(of: $0, now: now) ?? -1) }
        housekeeping?.endpointsChanged(slots.map { Int($0) })
        guard let scraper, let scrape = options.scrape else { return }
        scraper.set(
            endpoints.indices.map { index in
                let address = String(endpoints[index].address)
                return ScrapeTarget(
                    id: ids[index], address: address, slot: max(Int(slots[index]), 0),
                    place: slots[index] < 0
                        ? .none("there is no room for its report; raise 'max_endpoints'")
                        : ScrapeTarget.place(of: address, port: scrape.port))
            })
    }

    // MARK: Picking

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if asks { ask(exchange) }
        let now =
            candidates.milliseconds != 0
            ? candidates.milliseconds : Report.time(nanoseconds: host.clock.monotonic)
        let from = start.next(of: candidates.count)
        let survey = survey(candidates, from: from, now: now)
        if survey.told == 0 {
            blindPicks.add()
            return max(survey.unknown.index, 0)
        }
        let (known, unknown) = (survey.known, survey.unknown)
        guard unknown.index >= 0 else { return known.index }
        let best = options.headers == nil ? survey.mean : survey.best
        let load = unknown.load + options.queueWeight * best.queue
        let share = unknown.share * (1 - options.cacheWeight * best.cache)
        // Of two alike the one that is to be heard of.
        return known.load * share < load * known.share ? known.index : unknown.index
    }

    /// What one look at a pool has found.
    private struct Survey {
        /// The least of those that tell their load, and of those that do not.
        var known = Lowest()
        var unknown = Lowest()
        /// How many tell it, and the sums of what they tell.
        var told: Float = 0
        var waiting: Float = 0
        var cache: Float = 0
        /// What `known` tells.
        var best: (queue: Float, cache: Float) = (0, 0)

        var mean: (queue: Float, cache: Float) { (waiting / told, cache / told) }
    }

    /// Looks at the eligible endpoints from a place on, going around. What it needs is at hand before it begins: the
    /// instance's own fields would be read anew for each endpoint.
    @inline(__always)
    private func survey(_ candidates: Candidates, from: Int, now: UInt32) -> Survey {
        let (queueWeight, cacheWeight, maxAge) = (options.queueWeight, options.cacheWeight, options.maxAge)
        let (words, count, table) = (candidates.words, candidates.count, table)
        let endpoints = candidates.pointer.pointee.endpoints.unsafelyUnwrapped
        return slots.withUnsafeBufferPointer { slots in
            var survey = Survey()
            var looks = min(candidates.eligibleCount, Self.looksAtMost)
            var index = from
            for _ in 0..<count {
                if words[index &>> 6] &>> UInt64(index & 63) & 1 != 0 {
                    let endpoint = Endpoint(endpoints + index)
                    let load = Float(endpoint.load.inFlight &+ 1)
                    let weight = Float(max(endpoint.weight, 1))
                    let slot = index < slots.count ? Int(slots[index]) : -1
                    let report = slot >= 0 ? table.report(at: slot) : Report(word: 0)
                    if report.isFresh(at: now, limit: maxAge) {
                        let (queue, use) = (report.queue, report.cache)
                        survey.told += 1
                        survey.waiting += queue
                        survey.cache += use
                        if survey.known.consider(
                            index, load + queueWeight * queue, weight * (1 - cacheWeight * use))
                        {
                            survey.best = (queue, use)
                        }
                    } else {
                        _ = survey.unknown.consider(index, load, weight)
                    }
                    looks &-= 1
                    if looks == 0 { break }
                }
                index = index &+ 1 < count ? index &+ 1 : 0
            }
            return survey
        }
    }

    /// Without room for the edit the answer tells nothing, which is no reason to fail.
    @inline(never)
    private func ask(_ exchange: Exchange) {
        guard let format = options.headers?.ask else { return }
        try? format.withBytes { format throws(PluginError) in
            try exchange.setField(.request, Bytes("endpoint-load-metrics-format"), format)
        }
    }

    /// The lowest load for its share so far.
    private struct Lowest {
        var index = -1
        var load: Float = 0
        var share: Float = 1

        @inline(__always)
        mutating func consider(_ index: Int, _ load: Float, _ share: Float) -> Bool {
            // load / share < self.load / self.share, without a division.
            guard self.index < 0 || load * self.share < self.load * share else { return false }
            self.index = index
            self.load = load
            self.share = share
            return true
        }
    }

    // MARK: What answers tell

    mutating func responseBegan(_ head: AnswerHead) {
        guard let headers = options.headers, head.endpoint < ids.count else { return }
        var queue: Double?
        var cache: Double?
        if headers.orca, let value = head.field("endpoint-load-metrics") {
            var report = OrcaReport(value)
            while let metric = report.next() {
                if options.queueNames.contains(where: { $0 == metric.name }) {
                    queue = metric.value
                } else if options.cacheNames.contains(where: { $0 == metric.name }) {
                    cache = metric.value
                }
            }
        }
        if !headers.queue.isEmpty, let value = headers.queue.withBytes({ head.field($0) }) {
            queue = DecimalNumber.parse(value.trimmed) ?? queue
        }
        if !headers.cache.isEmpty, let value = headers.cache.withBytes({ head.field($0) }) {
            cache = DecimalNumber.parse(value.trimmed) ?? cache
        }
        guard queue != nil || cache != nil else { return }
        let now = Report.time(nanoseconds: host.clock.monotonic)
        let report = Report(queue: queue, cache: cache, time: now)
        let (id, slot) = (ids[head.endpoint], Int(slots[head.endpoint]))
        if slot >= 0, table.write(report, at: slot, of: id, now: now) { return }
        // The place has gone to another endpoint, or there was none.
        guard let found = table.place(of: id, now: now) else { return }
        slots[head.endpoint] = Int32(found)
        _ = table.write(report, at: found, of: id, now: now)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, QueueAware.self) }
