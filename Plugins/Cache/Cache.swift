import AnswerStore
import SluiceDigest
import SluiceHashing
import SluicePlugin

/// Answers requests that were answered before, for models whose `filters` name it.
///
/// Each worker keeps its own answers within its share of the bounds: no lock on the way of a request, at the price that
/// each worker asks a backend once. A generation begins with an empty cache, since a reload may have put another model
/// behind a name. All that they share is when a path was changed.
///
///     models:
///       iris:
///         filters: [ cache ]
struct Cache: Filter, ~Copyable {
    static let plugin = PluginDescription(name: "cache", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let options: Options
    private let host: Host
    private let metrics: CacheMetrics
    private let share: CacheShare
    private let gauge: TotalsGauge?
    /// Nil where nothing is kept that a client can change: to ask a model changes nothing.
    private let epochs: PathEpochs?
    private var hash: SHA256Stream
    private var table: AnswerTable
    private var pending = PendingAnswers()
    private var warned = false

    init(_ context: Context) throws(PluginError) {
        let options = try Options(context.config, workers: context.workerCount)
        let metrics = try CacheMetrics(context.metrics)
        let hash = try context.sha256()
        let epochs = options.caches(.other) ? try PathEpochs(context.state) : nil
        // Nothing fails from here on.
        table = AnswerTable(entries: options.entries, bytes: options.bytes)
        let totals = CacheTotals.of(context.name)
        share = CacheShare(totals)
        gauge =
            (context.worker ?? 0) == 0
            ? TotalsGauge(totals, bytes: metrics.bytes, entries: metrics.entries, host: context.host) : nil
        self.hash = hash
        self.options = options
        self.metrics = metrics
        self.epochs = epochs
        host = context.host
    }

    var needs: FilterNeeds { .requestBody }

    // MARK: Requests

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        let (model, version) = (answer.model, answer.version)
        let wishes = wishes(of: request.message)
        guard isBehindRouting(request.request, version) else { return bypass("sluice; fwd=bypass", exchange) }
        guard isCandidate(request.request) else {
            // Who wants no answer but a kept one gets none from the endpoint either (RFC 9111 §5.2.1.7). What changes
            // something has no kept answer, and goes there as ever.
            if wishes.onlyIfCached, request.message.isSafe { throw Self.notCached }
            return bypass("sluice; fwd=bypass", exchange)
        }
        guard !wishes.forbidsStoring,
            let key = options.key.write(
                request.request, model: model, version: version, limit: options.requestBytes, in: exchange),
            let digest = hash.digest(of: key)
        else {
            if wishes.onlyIfCached { throw Self.notCached }
            return bypass(wishes.forbidsStoring ? "sluice; fwd=request" : "sluice; fwd=bypass", exchange)
        }
        let token = exchange.suspension.token
        let now = host.clock.monotonic
        let epoch = epoch(of: request.request)
        if !wishes.forbidsReuse, let found = table.find(digest, key, epoch: epoch, now: now) {
            let age = found.age(now)
            if age <= wishes.maxAge {
                try use(found, answer, exchange)
                pending.insert(PendingAnswer(token: token, status: "sluice; hit", age: age))
                metrics.hits.add()
                return .answer
            }
        }
        if wishes.onlyIfCached { throw Self.notCached }
        metrics.misses.add()
        pending.insert(
            PendingAnswer(
                token: token, digest: digest, key: key, epoch: epoch, model: model, version: version,
                ageAtMost: wishes.forbidsReuse ? 0 : wishes.maxAge))
        return .pass
    }

    private static var notCached: PluginError { PluginError(.deadlineExceeded, "the answer is not in the cache") }

    /// Before routing nobody knows which version will answer: what stands there is what was asked for.
    private mutating func isBehindRouting(_ request: Request, _ version: Bytes) -> Bool {
        if version.raw.data != request.version.raw.data { return true }
        if !warned {
            warned = true
            host.log.write(.warning, "it is not among a model's `filters`, and caches nothing")
        }
        return false
    }

    private func isCandidate(_ request: Request) -> Bool {
        guard options.caches(request.operation), request.message.method != "HEAD",
            request.message.field("range") == nil, !dropsFields(request.message)
        else { return false }
        // What changes something is to reach the endpoint each time (RFC 9111 §4). Of operations that are known, asking
        // a model changes nothing.
        if request.operation == .other, request.message.method != "GET", request.message.method != "POST" {
            return false
        }
        // What lies in shared memory may be another thing each time.
        for tensor in request.payload.tensors where !tensor.region.isEmpty { return false }
        for output in request.payload.outputs where output.parameters.value("shared_memory_region") != nil {
            return false
        }
        return request.payload.kind != .stream
    }

    /// Whether the client has had fields taken out on the way to the endpoint (RFC 9110 §7.6.1), which the key would
    /// count though the endpoint does not see them.
    private func dropsFields(_ message: Message) -> Bool {
        for field in message.fields where field.name.equalsIgnoringCase("connection") {
            var rest = field.value
            while !rest.isEmpty {
                let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
                let option = rest.prefix(end).trimmed
                rest = rest.dropFirst(end + 1)
                if !option.isEmpty, !option.equalsIgnoringCase("close"), !option.equalsIgnoringCase("keep-alive") {
                    return true
                }
            }
        }
        return false
    }

    /// What the client asks of caches; `Pragma: no-cache` is the same from before (RFC 9111 §5.4).
    private func wishes(of message: Message) -> RequestDirectives {
        var wishes = RequestDirectives()
        var says = false
        for field in message.fields where field.name.equalsIgnoringCase("cache-control") {
            wishes.read(field.value)
            says = true
        }
        if !says, let pragma = message.field("pragma") { wishes.read(pragma) }
        return wishes
    }

    private mutating func bypass(_ status: StaticString, _ exchange: Exchange) -> FilterVerdict {
        metrics.bypassed.add()
        pending.insert(PendingAnswer(token: exchange.suspension.token, status: status))
        return .pass
    }

    /// Makes `answer` what was kept.
    private func use(
        _ found: AnswerTable.Found, _ answer: MutableResponse, _ exchange: Exchange
    ) throws(PluginError) {
        // The entry may go while the exchange is still being answered.
        let copy = try exchange.copy(found.answer)
        guard let block = copy.raw.data else { return }
        try KeptAnswer.read(block, into: answer, in: exchange)
    }

    // MARK: Failures

    static var answersFailures: Bool { true }

    /// An answer that the same request had before, old as it may be, is better than an error (RFC 5861 §4).
    mutating func onFailure(
        _ failure: ErrorCode, of request: Request, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        let token = exchange.suspension.token
        let now = host.clock.monotonic
        guard let waiting = pending.find(token), waiting.status == nil, waiting.ageAtMost > 0,
            let found = table.find(
                waiting.digest, waiting.key, epoch: epoch(of: request), now: now, orStale: true)
        else { return .pass }
        let age = found.age(now)
        guard age <= waiting.ageAtMost else { return .pass }
        // It may be fresh: another request has asked meanwhile, and was answered.
        try use(found, answer, exchange)
        pending.insert(
            PendingAnswer(token: token, status: found.isStale ? "sluice; fwd=stale" : "sluice; fwd=miss", age: age))
        metrics.rescues.add()
        return .answer
    }

    // MARK: Answers

    mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        let token = exchange.suspension.token
        let found = pending.find(token)
        // An answer that was kept changes nothing, and what an answer has changed is noted once.
        if found?.age == nil, found?.isNoted != true { noteChange(by: request, response.response) }
        guard var waiting = found else { return .pass }
        if let status = waiting.status {
            pending.remove(token)
            try tell(status, age: waiting.age, exchange)
            return .pass
        }
        let outcome = outcome(response.response, request, waiting, exchange)
        if outcome == .gathers {
            waiting.isNoted = true
            pending.insert(waiting)
            return .pass
        }
        pending.remove(token)
        if outcome == .stored { metrics.stored.add() } else { metrics.refused.add() }
        try tell(outcome == .stored ? "sluice; fwd=miss; stored" : "sluice; fwd=miss", age: nil, exchange)
        return .pass
    }

    /// Says what became of the request, in this filter's own turn of the answer: filters behind it, which have had
    /// theirs, change what the endpoint has said and nothing of this.
    private func tell(_ status: StaticString, age: UInt64?, _ exchange: Exchange) throws(PluginError) {
        if let age {
            var writer = exchange.writer(capacity: 32)
            writer.append(decimal: age)
            try exchange.setField(.response, Bytes("age"), try writer.finish())
        }
        try exchange.addField(.response, Bytes("cache-status"), Bytes(status))
    }

    private enum Outcome { case stored, refused, gathers }

    private mutating func outcome(
        _ response: Response, _ request: Request, _ waiting: PendingAnswer, _ exchange: Exchange
    ) -> Outcome {
        // What it tells may be from before a change that came meanwhile; another that was asked for since then is not
        // to make way for it.
        guard waiting.epoch == epoch(of: request) else { return .refused }
        // A fallback answers with another model's words.
        guard response.model == waiting.model, response.version == waiting.version,
            case .fresh(let age, let seconds, let stale) = Storability(
                response, limit: options.ttlNs / 1_000_000_000, stale: options.staleSeconds, vary: options.key.vary)
        else { return .refused }
        if let message = response.message, message.bodyState == .streaming {
            // A stream stays one: only what says its size, and is small, is read whole.
            // One that is compressed goes on as it is: to decode it somebody would have to unpack it.
            guard let size = message.field("content-length")?.trimmed.integer, size <= Int64(options.answerBytes),
                message.field("content-encoding").map({ $0.equalsIgnoringCase("identity") }) ?? true,
                exchange.gatherAnswer()
            else { return .refused }
            return .gathers
        }
        guard response.payload.kind != .stream, response.metadata == nil else { return .refused }
        for tensor in response.payload.tensors where !tensor.region.isEmpty { return .refused }
        let size = KeptAnswer.size(of: response)
        guard size <= options.answerBytes else { return .refused }
        let now = host.clock.monotonic
        let evicted = table.evictions
        let lifetime = AnswerTable.Lifetime(
            epoch: waiting.epoch, stored: now, initialAge: age, staleAt: now + seconds * 1_000_000_000,
            end: now + (seconds + stale) * 1_000_000_000)
        let isKept = table.insert(waiting.digest, waiting.key, lifetime, answerSize: size) { memory in
            KeptAnswer.write(response, to: memory, capacity: size)
        }
        if table.evictions > evicted { metrics.evictions.add(Double(table.evictions - evicted)) }
        share.set(bytes: table.bytes, entries: table.count)
        return isKept ? .stored : .refused
    }

    // MARK: Changes

    /// What an answer to `request` is kept with, and is used as long as it stays so.
    private func epoch(of request: Request) -> UInt64 {
        guard request.operation == .other, let epochs else { return 0 }
        return epochs.epoch(of: request.message)
    }

    /// What was kept of a path ends when a request has changed what is there, whatever it was to the cache itself
    /// (RFC 9111 §4.4). Before the client reads that it has: what it asks for next it gets anew, on any worker.
    private func noteChange(by request: Request, _ response: Response) {
        guard let epochs, request.operation == .other, request.message.transport == .http, !request.message.isSafe
        else { return }
        let status = response.message?.status ?? response.httpStatus
        guard (200...399).contains(status) else { return }
        epochs.advance(request.message)
        metrics.changes.add()
    }

    mutating func onCancel(exchange: Exchange) { pending.remove(exchange.suspension.token) }

    static var hearsErrors: Bool { true }
    mutating func onError(_ error: ErrorCode, exchange: Exchange) { pending.remove(exchange.suspension.token) }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, Cache.self) }
