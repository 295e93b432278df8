/// The keys of the queue of a pool, and of how many requests it may have under way.
extension Settings.Queue {
    mutating func read(_ section: Section) {
        section.integer("max_size", into: &maxSize, 1...1_000_000, "Requests that may wait for one pool.")
        section.choice(
            "when_full", into: &whenFull,
            "`reject` refuses the new request; `drop_oldest` refuses the one that waited longest, of those that are no "
                + "more urgent; `drop_lowest` the one that came last of the least urgent, if the new one is more so.")
        section.integer(
            "ageing_ms", into: &ageingMs, 0...86_400_000,
            "For each such time that it waits a request moves up one priority; with 0 it never does, and the less "
                + "urgent may wait for ever.")
        section.integer(
            "tenants", into: &tenants, 1...4_096,
            "Tenants that are told apart at one time; those beyond share a turn with another.")
        let weight = Shape.integer(1...1_000)
        let weights = Shape.table(weight, names: .modelName, atLeast: 0)
        let meaning = "Shares of tenants among the requests of one priority; every other tenant has 1."
        let found = section.take("tenant_weights", .either([.null, weights]), initially: "none", meaning)
        for entry in found?.entries ?? [] {
            section.checkName(entry, .modelName)
            guard section.reading.check(entry.value, weight, "`\(printable(entry.key))`"),
                let value = entry.value.integer
            else { continue }
            tenantWeights.append((entry.key, value))
        }
        section.section(
            "load_shedding", initially: "nobody is refused before the queue is full",
            "Refuses the less urgent before the queue is full; those of priority 0 never."
        ) { shedding = Settings.Shedding($0) }
    }
}

extension Settings.Shedding {
    init(_ section: Section) {
        self.init()
        section.number(
            "start_percent", into: &startPercent, 0...99,
            "How full the queue is when the first are refused; between this and full the priorities 9 to 1 are given "
                + "up one after the other.")
        section.integer(
            "target_wait_ms", into: &targetWaitMs, 0...86_400_000,
            "A longest wait that counts as a full queue; with 0 only the length counts.")
        section.integer(
            "retry_after_sec", into: &retryAfterSec, 1...86_400, "What `Retry-After` says at least, in seconds.")
        section.integer(
            "max_retry_after_sec", into: &maxRetryAfterSec, 1...86_400,
            "What it says at most, under full load; a random time between the two, or all would return at once.")
    }
}

extension Settings.Concurrency {
    init(_ section: Section) {
        self.init()
        section.choice(
            "algorithm", into: &algorithm,
            "`gradient2` compares how long answers take now with how long they took over a long time, `vegas` with the "
                + "least that they took; `fixed` stays at `limit`.")
        section.integer(
            "limit", into: &limit, 1...1_000_000,
            "Requests at the beginning, but for `fixed` no fewer than `minimum` and no more than `maximum`; what "
                + "`fixed` stays at.")
        section.integer("minimum", into: &minimum, 1...1_000_000, "It sinks no lower.")
        section.integer("maximum", into: &maximum, 1...1_000_000, "It rises no higher.")
        section.integer("window_ms", into: &windowMs, 1...60_000, "It moves once in such a time.")
        section.integer(
            "minimum_requests", into: &minimumRequests, 1...1_000_000, "And not before so many answers.")
        guard !section.isDescribing, algorithm != .fixed else { return }
        if minimum > maximum {
            section.reading.error(
                section.keyPosition("minimum") ?? section.position,
                "`minimum` is above `maximum`, which is \(maximum); lower the one or raise the other")
        }
    }
}
