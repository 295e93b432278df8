/// Second attempts beside slow ones.
extension Settings {
    public struct Hedge: Sendable, Equatable {
        /// Nil: after the percentile.
        public var delayMs: Double?
        public var percentile = 95.0
        public var minimumDelayMs = 1.0
        /// Latencies that must be known for a percentile.
        public var minimumRequests = 100
        /// Of the requests.
        public var percent = 10.0
        /// Under way at once in a pool. Ten: what retries may always have, too.
        public var maxInFlight = 10
        public init() {}
    }
}

extension Settings.Hedge {
    init(_ section: Section) {
        self.init()
        let fixed = section.take(
            "delay_ms", .number(0.1...60_000), initially: "after the percentile",
            "A second attempt is made when the first one has not been answered for so long.")
        delayMs = fixed?.number
        section.number(
            "percentile", into: &percentile, 50...99.9,
            "Of the pool's times to the first byte of an answer: what is slower gets a second attempt.")
        section.number(
            "minimum_delay_ms", into: &minimumDelayMs, 0.1...60_000, "Never sooner, however fast the pool is.")
        section.integer(
            "minimum_requests", into: &minimumRequests, 1...5_000,
            "Answers that must have been seen before there is a percentile, and a hedge.")
        section.number(
            "percent", into: &percent, 0...100, "Of a worker's requests to the pool, second attempts at most.")
        section.integer(
            "max_in_flight", into: &maxInFlight, 1...100_000, "Second attempts of the pool at once, over all workers.")
    }
}
