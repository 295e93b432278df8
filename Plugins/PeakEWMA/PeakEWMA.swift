import SluiceBalancing
import SluiceHashing
import SluicePlugin

/// Of two endpoints drawn at random the one with the smaller load: its cost, a moving average of latency that jumps to
/// a peak at once, times the attempts under way and the one to come (Finagle's PeakEwma). An answer that says "too
/// much" or fails counts as a latency many times the usual: it may come quickly, and must not draw more requests for
/// that.
struct PeakEWMA: Balancer, ~Copyable {
    static let plugin = PluginDescription(name: "peak-ewma", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// What failures one after another may make of a cost, times the usual latency or the failure's own, whichever is
    /// greater: with the default decay an endpoint that fails quickly is back at its share after some 45 s.
    private static var penaltyAtMost: Double { 100 }
    /// The load of an endpoint that was never heard of and is being tried: more than any logarithm of a 64-bit number.
    private static var untried: Double { 1_000 }

    private let clock: Clock
    private let costs: SharedCounters
    private let decay: Double
    private let failurePenalty: Double
    private let measuresTotal: Bool
    private let purpose: UInt64
    private let logarithms = Logarithms()
    private var numbers: SplitMix64
    private var pool: EndpointTable
    private var pairs: PairDraw
    private var book: LatencyBook
    /// Nanoseconds of good answers of the whole pool, about the last 64.
    private var usual = 0.0

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["decay_ms", "failure_penalty", "measure"])
        let decay = Double(try config.integer("decay_ms", default: 10_000, in: 100...600_000))
        let failurePenalty = try config.number("failure_penalty", default: 10, in: 1...100)
        let measure = try config.text("measure", default: "first_byte")
        guard measure == "first_byte" || measure == "total" else {
            throw config["measure"].error("'\(measure)' is not known; take first_byte or total")
        }
        let costs = try LatencyBook.memory(context)
        self.decay = decay
        self.failurePenalty = failurePenalty
        self.costs = costs
        measuresTotal = measure == "total"
        clock = context.host.clock
        // An endpoint may serve two models of which one is slow; the first is not to be judged by the second.
        purpose = Array("\(context.model)\u{0}\(context.version)".utf8).withUnsafeBytes { XXHash64.hash($0) }
        numbers = SplitMix64(seed: context.seed)
        pool = EndpointTable()
        pairs = PairDraw(EndpointTable())
        book = LatencyBook(EndpointTable(), of: purpose, in: costs, decay: decay, now: 0)
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) {
        pool = EndpointTable(endpoints)
        pairs = PairDraw(pool)
        book = LatencyBook(
            pool, of: purpose, in: costs, decay: decay, now: LatencyBook.milliseconds(clock.monotonic))
    }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        if pool.count != candidates.count { endpointsChanged(candidates.endpoints) }
        let (first, second) = pairs.draw(candidates, &numbers)
        if first == second { return first }
        let now =
            candidates.milliseconds != 0 ? candidates.milliseconds : LatencyBook.milliseconds(clock.monotonic)
        return load(first, now) <= load(second, now) ? first : second
    }

    /// The logarithm of cost × (attempts under way + 1) / weight.
    private func load(_ index: Int, _ now: UInt32) -> Double {
        let inFlight = pool.inFlight(index)
        guard let cost = book.logarithm(index, now: now) else {
            // Never heard of: the first attempt at once, others when that has told something.
            return inFlight == 0 ? -Double.infinity : Self.untried + Double(inFlight)
        }
        let load = cost + logarithms.of(Int(inFlight) &+ 1)
        return pool.isUniform ? load : load - logarithms.of(Int(pool.weight(index)))
    }

    mutating func attemptEnded(_ outcome: Outcome) {
        let index = outcome.endpoint
        guard UInt(bitPattern: index) < UInt(bitPattern: book.count) else { return }
        let isWhole = !measuresTotal && outcome.firstByte != 0
        let measured = Double(isWhole ? outcome.firstByte : outcome.total)
        let now = LatencyBook.milliseconds(outcome.ended)
        if outcome.error == .cancelled {
            // A client that left, or a second attempt that was faster, says only that it would have taken longer.
            if isWhole || max(measured, 1) > book.last(index) { book.add(max(measured, 1), to: index, now: now) }
            return
        }
        if Self.failed(outcome) {
            let base = max(measured, book.last(index), usual, 1)
            let bound = max(max(usual, measured) * Self.penaltyAtMost, book.last(index))
            book.add(min(base * failurePenalty, bound), to: index, now: now)
            return
        }
        usual = usual == 0 ? measured : usual + (measured - usual) / 64
        book.add(max(measured, 1), to: index, now: now)
    }

    /// Too many requests, and what a proxy or a server says that cannot serve now. Other answers of 5xx may be the
    /// request's own fault.
    private static func failed(_ outcome: Outcome) -> Bool {
        if outcome.error != nil { return true }
        switch outcome.httpStatus {
        case 429, 502, 503, 504: return true
        default: return false
        }
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, PeakEWMA.self) }
