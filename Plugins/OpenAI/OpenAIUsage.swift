import OpenAICodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// Counts the tokens that answers of OpenAI's API say they took, for each model, as the answers stream by: nothing is
/// held back, changed or kept.
///
/// Configuration: `usage_models`, the models that get counters of their own.
struct OpenAIUsage: Filter, ~Copyable {
    static let plugin = OpenAI.plugin

    /// Three counters each, and three for all other models, of the 64 that the host gives an instance.
    private static let countedModels = 20

    private struct Counters {
        let prompt: Counter
        let completion: Counter
        let total: Counter

        init(_ model: String, _ metrics: MetricDeclarations) throws(PluginError) {
            let labels = [("model", model)]
            prompt = try metrics.counter(
                "prompt_tokens_total", "Tokens of requests, as their answers say.", labels: labels)
            completion = try metrics.counter(
                "completion_tokens_total", "Tokens of answers, as they say.", labels: labels)
            total = try metrics.counter(
                "tokens_total", "Tokens of requests and answers, as the answers say.", labels: labels)
        }

        func add(_ usage: TokenUsage) {
            // A counter that nobody has touched is not there: models that only embed have no completions.
            if usage.prompt > 0 { prompt.add(Double(usage.prompt)) }
            if usage.completion > 0 { completion.add(Double(usage.completion)) }
            if usage.total > 0 { total.add(Double(usage.total)) }
        }
    }

    /// What is remembered of an answer while it streams: in the exchange's arena.
    private struct Answer: BitwiseCopyable {
        var watch: UsageWatch
        /// In `counters`.
        var place: Int
    }

    /// Of each model's id its place in `counters`.
    private let places: UnsafeMutableBufferPointer<Int>
    /// The first one is of all models without counters of their own.
    private let counters: UnsafeMutableBufferPointer<Counters>
    /// Beyond its bound an answer goes uncounted.
    private let answers: ExchangeTable<Answer>
    private let host: Host

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(OpenAI.configurationKeys)
        let node = context.config["usage_models"]
        var names = try OpenAI.names(node, atMost: Self.countedModels, context)
        let models = context.host.models.all
        var all: [String] = []
        for model in models { all.append(String(model.name)) }
        if node.isNull { names = Array(all.prefix(Self.countedModels)) }
        var made = [try Counters("", context.metrics)]
        for name in names { made.append(try Counters(name, context.metrics)) }
        counters = .allocate(capacity: made.count)
        _ = counters.initialize(from: made)
        places = .allocate(capacity: all.count)
        for index in all.indices {
            places.initializeElement(at: index, to: (names.firstIndex(of: all[index]) ?? -1) + 1)
        }
        answers = ExchangeTable()
        host = context.host
    }

    deinit {
        counters.deallocate()
        places.deallocate()
    }

    var needs: FilterNeeds { .chunks }

    private static func isWatched(_ operation: Operation) -> Bool {
        operation == .chat || operation == .completion || operation == .embed
    }

    private static func isPlain(_ message: sluice_message) -> Bool {
        guard let encoding = message.field("content-encoding") else { return true }
        return encoding.isEmpty || encoding.equalsIgnoringCase(.literal("identity"))
    }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        // What is compressed cannot be read as it goes by.
        if Self.isWatched(request.operation), exchange.header("accept-encoding") != nil {
            try exchange.setField(.request, Bytes("Accept-Encoding"), Bytes("identity"))
        }
        return .pass
    }

    mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        guard Self.isWatched(request.operation), let message = response.pointer.pointee.message?.pointee,
            (200...299).contains(message.status), Self.isPlain(message),
            let contentType = message.field("content-type"), var watch = UsageWatch(contentType: contentType)
        else { return .pass }
        let place = place(of: request)
        if message.body_state == UInt32(SLUICE_BODY_WHOLE) {
            watch.feed(message.wholeBody)
            counters[place].add(watch.takeNew())
            return .pass
        }
        // One without a body here comes out of a cache: it has cost no token.
        guard message.body_state == UInt32(SLUICE_BODY_STREAMING) else { return .pass }
        // Without memory the answer goes uncounted: that is no reason to fail it.
        guard let answer = try? exchange.arena.allocate(Answer.self, count: 1) else { return .pass }
        answer.initialize(to: Answer(watch: watch, place: place))
        answers.insert(exchange.suspension.token, answer, now: host.clock.monotonic)
        return .pass
    }

    mutating func onChunk(_ chunk: Bytes, side: Side, exchange: Exchange) throws(PluginError) {
        guard side == .response else { return }
        let token = exchange.suspension.token
        guard let answer = answers.find(token, now: host.clock.monotonic) else { return }
        answer.pointee.watch.feed(chunk.raw)
        counters[answer.pointee.place].add(answer.pointee.watch.takeNew())
        if answer.pointee.watch.isFinished { answers.remove(token) }
    }

    mutating func onCancel(exchange: Exchange) {
        answers.remove(exchange.suspension.token)
    }

    private func place(of request: Request) -> Int {
        guard let id = request.modelID, places.indices.contains(Int(id)) else { return 0 }
        return places[Int(id)]
    }
}
