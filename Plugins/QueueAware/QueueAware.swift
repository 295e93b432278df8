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

    private let host: Host
    private let options: Options
    /// Requests say that their answers shall tell the load.
    private let asks: Bool
    private let table: ReportTable
    private let scraper: Scraper?
    /// On the first worker; kept for its timer.
    private let housekeeping: Housekeeping?
    private let blindPicks: Counter
    /// Of each endpoint its id, and what was read of its report last.
    private var ids: [UInt64] = []
    private var readings: Readings
    private var start: SearchStart

    init(_ context: Context) throws(PluginError) {
        options = try Options(context)
        asks = options.headers.map { !$0.ask.isEmpty } ?? false
        host = context.host
        table = try ReportTable(
            context.state, name: "\(context.model)/\(context.version)", endpoints: options.maxEndpoints,
            maxAge: options.maxAge)
        readings = Readings([], table, options)
        let labels = [("model", context.model), ("version", context.version)]
        blindPicks = try context.metrics.counter(
            "blind_picks_total", "Picks for which no endpoint's load was known: by least request.",
            labels: labels)
        start = SearchStart(context, looksAtMost: Readings.looksAtMost)
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
        let slots = ids.map { table.place(of: $0, now: now) ?? -1 }
        readings = Readings(endpoints.indices.map { Reading(slot: slots[$0], endpoints[$0]) }, table, options)
        housekeeping?.endpointsChanged(slots)
        guard let scraper, let scrape = options.scrape else { return }
        scraper.set(
            endpoints.indices.map { index in
                let address = String(endpoints[index].address)
                return ScrapeTarget(
                    id: ids[index], address: address, slot: max(slots[index], 0),
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
        let found = readings.survey(candidates, from: from, now: now)
        guard found.known >= 0 else {
            blindPicks.add()
            return max(found.silent, 0)
        }
        guard found.silent >= 0 else { return found.known }
        let best = Report(word: readings[found.known].word)
        let (queue, cache) =
            options.headers == nil ? readings.mean(candidates, from: from, now: now) : (best.queue, best.cache)
        let cost = found.silentCost + options.queueWeight * queue * readings[found.silent].perWeight
        // Of two alike the one that is to be heard of.
        return found.cost * (1 - options.cacheWeight * cache) < cost ? found.known : found.silent
    }

    /// Without room for the edit the answer tells nothing, which is no reason to fail.
    @inline(never)
    private func ask(_ exchange: Exchange) {
        guard let format = options.headers?.ask else { return }
        try? format.withBytes { format throws(PluginError) in
            try exchange.setField(.request, Bytes("endpoint-load-metrics-format"), format)
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
        let (id, slot) = (ids[head.endpoint], Int(readings[head.endpoint].slot))
        if slot >= 0, table.write(report, at: slot, of: id, now: now) { return }
        // The place has gone to another endpoint, or there was none.
        guard let found = table.place(of: id, now: now) else { return }
        readings.move(head.endpoint, to: found)
        _ = table.write(report, at: found, of: id, now: now)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, QueueAware.self) }
