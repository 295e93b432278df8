/// The keys of the policies that hold when endpoints fail.
extension Settings.Retry {
    init(_ section: Section) {
        self.init()
        section.integer("max_attempts", into: &maxAttempts, 1...100, "Tries in all, the first one counted.")
        section.integer(
            "backoff_ms", into: &backoffMs, 0...60_000,
            "Before the second try, and twice as long before each further; a random part of it is waited.")
        section.integer("max_backoff_ms", into: &maxBackoffMs, 0...600_000, "What the doubling stops at.")
        section.integer(
            "per_try_timeout_ms", into: &perTryTimeoutMs, 0...86_400_000, "For one try; 0 is the whole deadline.")
        section.section(
            "budget", initially: "20 percent, 10 at least", "How many of a pool's requests may be tries again at once."
        ) { budget in
            budget.number("percent", into: &budgetPercent, 0...100, "Of the pool's requests under way.")
            budget.integer("minimum", into: &budgetMinimum, 0...1_000_000, "That many may always be.")
        }
        section.section("on", initially: "as below", "After which failures; only of requests that may be repeated.") {
            failures.read($0)
        }
    }
}

extension Settings.Failures {
    mutating func read(_ section: Section) {
        section.boolean("connect", into: &connect, "The endpoint could not be reached.")
        section.boolean("reset", into: &reset, "The connection ended before an answer, or what came is none.")
        section.boolean("timeout", into: &timeout, "The endpoint took longer than it may.")
        let known = Shape.list(.integer(400...599), atLeast: 0)
        let list = section.take(
            "statuses", known, initially: "\(statuses)", "Statuses of HTTP that the endpoint answered with.")
        if let items = list?.items { statuses = items.compactMap(\.integer) }
        let names = Settings.GRPCCode.allCases.map(\.name)
        let initially = "[" + grpc.map(\.name).joined(separator: ", ") + "]"
        let codes = section.take(
            "grpc", .list(.choice(names), atLeast: 0), initially: initially, "Codes of gRPC that it answered with.")
        if let items = codes?.items {
            grpc = items.compactMap { item in Settings.GRPCCode.allCases.first { $0.name == item.text } }
        }
    }
}

extension Settings.CircuitBreaker {
    init(_ section: Section) {
        self.init()
        section.choice(
            "scope", into: &scope,
            "What is given a rest: an `endpoint` of a pool, the `model` as a whole (one version of it), or `both`.")
        section.integer(
            "failure_threshold", into: &failureThreshold, 0...1_000_000,
            "Failures in a row that open it; 0 does not count them.")
        section.number(
            "failure_rate_percent", into: &failureRatePercent, 0...100,
            "Failures in a hundred requests of the window that open it; 0 does not look at the rate.")
        section.integer("window_ms", into: &windowMs, 100...3_600_000, "What the rate is taken over.")
        section.integer(
            "minimum_requests", into: &minimumRequests, 1...1_000_000, "With fewer in the window there is no rate.")
        section.number(
            "reset_timeout_sec", into: &resetTimeoutSec, 0.001...86_400, "Seconds until it lets a probe through.")
        let longest = section.take(
            "max_reset_timeout_sec", .number(0.001...86_400), initially: "`reset_timeout_sec`",
            "The time doubles each time that a probe fails, up to this.")
        maxResetTimeoutSec = longest?.number
        section.number(
            "jitter_percent", into: &jitterPercent, 0...100,
            "Up to so much is added to the time, so that many gateways do not probe at once.")
        section.integer(
            "half_open_probes", into: &halfOpenProbes, 1...Self.probesAtMost,
            "Probes under way at once, over all workers.")
        section.integer("successes_to_close", into: &successesToClose, 1...1_000, "Probes that must succeed.")
        section.section("failures", initially: "as below", "What counts as a failure.") { failures.read($0) }
        if !section.isDescribing, failureThreshold == 0, failureRatePercent == 0 {
            section.reading.error(
                section.position,
                "the breaker could never open: `failure_threshold` and `failure_rate_percent` are both 0; set one")
        }
    }
}

extension Settings.OutlierDetection {
    init(_ section: Section) {
        self.init()
        section.integer(
            "consecutive_errors", into: &consecutiveErrors, 0...1_000_000,
            "Failures in a row that eject an endpoint; 0 does not count them.")
        section.integer(
            "interval_ms", into: &intervalMs, 100...3_600_000, "Between two comparisons of a pool's endpoints.")
        section.integer(
            "base_ejection_ms", into: &baseEjectionMs, 100...86_400_000,
            "How long an endpoint is out, times how often it was ejected lately; up to a tenth more by chance.")
        section.integer(
            "max_ejection_ms", into: &maxEjectionMs, 100...86_400_000,
            "The longest ejection, also the first where `base_ejection_ms` says more.")
        section.number(
            "max_ejected_percent", into: &maxEjectedPercent, 0...100,
            "Of a pool at once. One endpoint of two or more may always be out.")
        section.integer(
            "minimum_endpoints", into: &minimumEndpoints, 2...4_096, "Smaller pools are not compared.")
        section.integer(
            "minimum_requests", into: &minimumRequests, 1...1_000_000,
            "Answers of an endpoint in an interval; fewer say nothing.")
        section.number(
            "success_rate_factor", into: &successRateFactor, 0...100,
            "Out is whose share of successes is more than so many standard deviations below the pool's mean, and more "
                + "than 5 percent points; 0 does not compare it. One of n endpoints can be √(n - 1) deviations below "
                + "it at most.")
        section.number(
            "latency_factor", into: &latencyFactor, 0...1_000,
            "Out is whose mean time to the first byte is above the pool's median times this, and by more than 50 ms; 0 "
                + "does not compare it.")
        section.section("failures", initially: "as below", "What counts as a failure.") { failures.read($0) }
        warnOfDeviations(section)
    }

    /// One endpoint of n, with all others alike, is √(n - 1) standard deviations from their mean, and none is more.
    private func warnOfDeviations(_ section: Section) {
        let fewest = Int(successRateFactor * successRateFactor + 1) + 1
        guard !section.isDescribing, successRateFactor > 0, minimumEndpoints < fewest else { return }
        let position =
            section.peek("minimum_endpoints")?.position ?? section.peek("success_rate_factor")?.position
            ?? section.position
        section.reading.warning(
            position,
            "with `success_rate_factor: \(successRateFactor)` no endpoint is ever ejected for its share of failures in "
                + "a pool that compares fewer than \(fewest), and `minimum_endpoints: \(minimumEndpoints)` lets it "
                + "compare fewer; a pool of n needs a factor below √(n - 1)")
    }
}

extension Settings.HealthCheck {
    init(_ section: Section) {
        self.init()
        let kinds = Kind.allCases.map(\.rawValue)
        let node = section.take(
            "type", .choice(kinds), initially: "`grpc` for `grpc://`, `tcp` for `tcp://`, else `http`",
            "`http` asks for `path` and wants a status from 200 to 399; `grpc` asks grpc.health.v1.Health; `tcp` "
                + "connects; `ready` asks in the pool's protocol whether the model is ready.")
        kind = node?.text.flatMap(Kind.init(rawValue:))
        path = section.text("path", .requestPath, initially: path, "What `http` asks for.") ?? path
        service = section.text("service", initially: "the whole server", "What `grpc` asks about.") ?? service
        section.integer("interval_ms", into: &intervalMs, 10...86_400_000, "Between two probes.")
        section.integer("timeout_ms", into: &timeoutMs, 1...86_400_000, "For one probe.")
        section.integer("unhealthy_after", into: &unhealthyAfter, 1...1_000, "Failures in a row.")
        section.integer("healthy_after", into: &healthyAfter, 1...1_000, "Successes in a row.")
        section.number(
            "panic_percent", into: &panicPercent, 0...100,
            "With fewer healthy endpoints than this, all are tried, whatever the checks say; 0 never.")
    }
}

// MARK: Degradation

extension Settings.ModelSettings {
    /// `fallback` is one step or a list of them.
    mutating func readFallbacks(_ section: Section) {
        var steps: [Settings.Fallback] = []
        section.oneOrMore(
            "fallback", initially: "none",
            "What answers in place of an error, one step or a list of them, each tried when the one before fails: "
                + "another version, another model, what a filter has kept, or a fixed response."
        ) { inner in
            let ownName = section.name
            let version = inner.take("version", .text(.modelName), "Another version, of this model or of `model`.")
            let model = inner.take("model", .text(.modelName), "Another model.")
            var response: Settings.FixedResponse?
            inner.section("response", initially: "none", "A fixed response, for clients of HTTP.") { fixed in
                var value = Settings.FixedResponse()
                section.readFixed(fixed, &value)
                response = value
            }
            var cached = false
            inner.boolean(
                "cached", into: &cached,
                "The answer that a filter has kept for the same request, as `cache` does, though it be old.")
            guard !inner.isDescribing else { return }
            switch [inner.has("response"), inner.has("model") || inner.has("version"), cached].count(where: \.self) {
            case 0:
                inner.reading.error(
                    inner.position, "a step of `fallback` needs `model`, `version`, `cached` or `response`; add one")
            case 1: break
            default:
                inner.reading.error(
                    inner.position,
                    "a step is a model or version, a kept answer, or a response; make two steps of it, in a list")
            }
            if let model, let name = model.text {
                if name == ownName {
                    inner.reading.error(model.position, "a model cannot be its own fallback; name another")
                } else {
                    steps.append(.model(name, version: version?.text, model.position))
                }
            } else if let version, let name = version.text {
                if versions.count == 1, versions.first?.version == name {
                    inner.reading.error(
                        version.position, "a version cannot be its own fallback; name another, or leave the step out")
                } else if versions.contains(where: { $0.version == name }) {
                    steps.append(.version(name))
                } else {
                    inner.reading.error(
                        version.position,
                        "the model has no version \(inner.reading.shown(version)); list it under `versions`")
                }
            } else if cached {
                steps.append(.kept(inner.position))
            } else if let response {
                steps.append(.response(response))
            }
        }
        fallbacks = steps
    }
}

extension Section {
    fileprivate func readFixed(_ section: Section, _ value: inout Settings.FixedResponse) {
        section.integer("status", into: &value.status, 200...599, "Its status code.")
        value.contentType =
            section.text("content_type", .fieldValue, initially: value.contentType, "Its `Content-Type`.")
            ?? value.contentType
        value.body = section.text("body", initially: "empty", "Its body.") ?? value.body
    }
}

extension Settings {
    /// Fallbacks may name a model that comes later, so they are resolved when all are known.
    func checkFallbacks(_ reading: Reading) {
        let names = models.map(\.name)
        for model in models {
            for case .model(let name, let version, let position) in model.fallbacks {
                let node = Node.scalar(name, quoted: true, position)
                guard let target = models.first(where: { $0.name == name }) else {
                    let nearest = reading.guess(for: node, among: names)
                    reading.error(
                        position,
                        "no model is named \(reading.shown(node)); "
                            + (nearest.map { "did you mean `\($0)`?" } ?? "list it under `models`"))
                    continue
                }
                if let version, !target.versions.contains(where: { $0.version == version }) {
                    reading.error(position, "the model \(reading.shown(node)) has no such version; name one it has")
                } else if version == nil, target.versions.count > 1 {
                    reading.error(
                        position, "the model \(reading.shown(node)) has several versions; say which one, by `version`")
                }
            }
        }
    }
}
