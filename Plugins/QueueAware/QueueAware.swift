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
    /// Of each endpoint its id and its place in the table, -1 without one.
    private var places: [(id: UInt64, slot: Int)] = []
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
        places = endpoints.map { ($0.id, table.place(of: $0.id, now: now) ?? -1) }
        housekeeping?.endpointsChanged(places.map(\.slot))
        guard let scraper, let scrape = options.scrape else { return }
        scraper.set(
            endpoints.indices.map { index in
                let address = String(endpoints[index].address)
                return ScrapeTarget(
                    id: places[index].id, address: address, slot: max(places[index].slot, 0),
                    place: places[index].slot < 0
                        ? .none("there is no room for its report; raise 'max_endpoints'")
                        : ScrapeTarget.place(of: address, port: scrape.port))
            })
    }

    // MARK: Picking

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if asks { ask(exchange) }
        let now = Report.time(nanoseconds: host.clock.monotonic)
        let endpoints = candidates.endpoints
        let count = endpoints.count
        var index = start.next(of: count)
        var looks = min(candidates.eligibleCount, Self.looksAtMost)
        var known = Lowest()
        var unknown = Lowest()
        var told: Float = 0
        var waiting: Float = 0
        var cache: Float = 0
        var best: (queue: Float, cache: Float) = (0, 0)
        for _ in 0..<count {
            if candidates.isEligible(index) {
                let endpoint = endpoints[index]
                let load = Float(endpoint.load.inFlight &+ 1)
                let weight = Float(max(endpoint.weight, 1))
                let report = report(index)
                if report.isFresh(at: now, limit: options.maxAge) {
                    let queue = report.queue
                    let use = report.cache
                    told += 1
                    waiting += queue
                    cache += use
                    if known.consider(
                        index, load + options.queueWeight * queue, weight * (1 - options.cacheWeight * use))
                    {
                        best = (queue, use)
                    }
                } else {
                    _ = unknown.consider(index, load, weight)
                }
                looks &-= 1
                if looks == 0 { break }
            }
            index = index &+ 1 < count ? index &+ 1 : 0
        }
        if told == 0 {
            blindPicks.add()
            return max(unknown.index, 0)
        }
        guard unknown.index >= 0 else { return known.index }
        if options.headers == nil { best = (waiting / told, cache / told) }
        let load = unknown.load + options.queueWeight * best.queue
        let share = unknown.share * (1 - options.cacheWeight * best.cache)
        // Of two alike the one that is to be heard of.
        return known.load * share < load * known.share ? known.index : unknown.index
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

    @inline(__always)
    private func report(_ index: Int) -> Report {
        guard index < places.count, places[index].slot >= 0 else { return Report(word: 0) }
        return table.report(at: places[index].slot)
    }

    // MARK: What answers tell

    mutating func responseBegan(_ head: AnswerHead) {
        guard let headers = options.headers, head.endpoint < places.count else { return }
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
        let (id, slot) = places[head.endpoint]
        if slot >= 0, table.write(report, at: slot, of: id, now: now) { return }
        // The place has gone to another endpoint, or there was none.
        guard let found = table.place(of: id, now: now) else { return }
        places[head.endpoint].slot = found
        _ = table.write(report, at: found, of: id, now: now)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, QueueAware.self) }
