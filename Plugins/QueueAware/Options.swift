import SluicePlugin

/// What the operator says, checked.
///
///     config:
///       preset: vllm
///       headers: { orca: true, ask: text }
///       scrape: { path: /metrics, interval_ms: 1000 }
struct Options {
    /// From the heads of answers; nil: they are not read.
    struct Headers {
        var orca = false
        /// What is asked for in `endpoint-load-metrics-format`; empty: nothing.
        var ask = KeptText("")
        var queue = KeptText("")
        var cache = KeptText("")
    }

    var headers: Headers?
    /// From pages of metrics; nil: none are fetched.
    var scrape: ScrapeOptions?
    /// Names of metrics, the best first.
    var queueNames: [KeptText]
    var cacheNames: [KeptText]
    /// How long a report counts, in milliseconds.
    var maxAge: UInt32
    /// Requests in flight that one waiting at the endpoint counts as.
    var queueWeight: Float
    /// How much a full cache divides an endpoint's share: 0 not at all, towards 1 to nothing.
    var cacheWeight: Float
    var maxEndpoints: Int

    /// Names of one backend's metrics; both spellings, of its page and of its headers.
    private struct Preset {
        var queue: [String]
        var cache: [String]
        var port: UInt16?
    }

    private static func preset(_ name: String) -> Preset? {
        switch name {
        case "vllm":
            // https://docs.vllm.ai, production metrics; `gpu_cache_usage_perc` before version 0.10.
            Preset(
                queue: ["vllm:num_requests_waiting", "num_requests_waiting"],
                cache: [
                    "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "kv_cache_usage_perc",
                    "kv_cache_utilization",
                ])
        case "triton":
            // Its metrics have a port of their own, 8002 unless started otherwise.
            Preset(
                queue: ["nv_inference_pending_request_count"], cache: ["kv_cache_utilization"], port: 8002)
        case "generic":
            Preset(
                queue: ["queue_depth", "num_requests_waiting"], cache: ["kv_cache_utilization", "kv_cache_usage_perc"])
        default: nil
        }
    }

    /// Two spellings of a page, two of headers, and as many again of an older version; each line is compared with all.
    private static let namesAtMost = 8

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow([
            "preset", "headers", "scrape", "queue", "cache", "max_age_ms", "queue_weight", "cache_weight",
            "max_endpoints",
        ])
        let name = try config.text("preset", default: "generic")
        guard let preset = Self.preset(name) else {
            throw config["preset"].error("'\(name)' is no preset: expected vllm, triton or generic")
        }
        queueNames = try Self.names(config["queue"], preset.queue)
        cacheNames = try Self.names(config["cache"], preset.cache)
        headers = try Self.headers(config["headers"])
        scrape = config["scrape"].isNull ? nil : try ScrapeOptions(config["scrape"], port: preset.port, context)
        guard headers != nil || scrape != nil else {
            throw config.error("nothing tells the endpoints' load: give 'headers', 'scrape' or both")
        }
        // Five lost pages in a row at the usual interval, and about as long as a queue of a model takes to drain.
        maxAge = UInt32(try config.integer("max_age_ms", default: 5_000, in: 10...600_000))
        if let interval = scrape?.interval, maxAge < 2 * interval {
            throw config.error("'max_age_ms' (\(maxAge)) must be at least twice 'scrape.interval_ms' (\(interval))")
        }
        queueWeight = Float(try config.number("queue_weight", default: 1, in: 0...1_000))
        // A full cache then counts as ten times the load: nothing goes there while others have room.
        cacheWeight = Float(try config.number("cache_weight", default: 0.9, in: 0...0.99))
        // 32 KiB a pool, for more replicas of one model than a gateway is likely to see; a pool has 4096 at most.
        maxEndpoints = Int(try config.integer("max_endpoints", default: 1_024, in: 1...4_096))
    }

    private static func names(_ node: Configuration, _ preset: [String]) throws(PluginError) -> [KeptText] {
        if node.isNull { return preset.map { KeptText($0) } }
        let elements = try node.elements()
        guard elements.count <= namesAtMost else { throw node.error("more than \(namesAtMost) names") }
        var names: [KeptText] = []
        for element in elements {
            let name = try element.text()
            if name.isEmpty { throw element.error("a metric's name is not empty") }
            names.append(KeptText(name))
        }
        return names
    }

    private static func headers(_ node: Configuration) throws(PluginError) -> Headers? {
        if node.isNull { return nil }
        try node.allow(["orca", "ask", "queue", "cache"])
        var headers = Headers()
        headers.queue = try field(node["queue"])
        headers.cache = try field(node["cache"])
        headers.orca = try node.boolean("orca", default: headers.queue.isEmpty && headers.cache.isEmpty)
        let ask = try node.text("ask", default: "none")
        switch ask {
        case "none": break
        case "text", "json":
            guard headers.orca else { throw node["ask"].error("'ask' is for 'orca', which is off") }
            headers.ask = KeptText(ask)
        default: throw node["ask"].error("'\(ask)' is no format: expected text, json or none")
        }
        guard headers.orca || !headers.queue.isEmpty || !headers.cache.isEmpty else {
            throw node.error("nothing is read: 'orca' is off, and 'queue' and 'cache' name no field")
        }
        return headers
    }

    /// Empty where there is none.
    private static func field(_ node: Configuration) throws(PluginError) -> KeptText {
        if node.isNull { return KeptText("") }
        let name = KeptText(try node.text())
        guard name.withBytes({ $0.isToken }) else { throw node.error("`\(String(name))` is no header's name") }
        return name
    }
}

/// How pages of metrics are fetched.
struct ScrapeOptions: Sendable {
    let path: String
    /// In place of the endpoint's own.
    let port: UInt16?
    /// Milliseconds.
    let interval: UInt32
    let timeout: Int32
    /// Bytes of an answer.
    let maxBytes: Int
    /// What a sample must be labelled with to count.
    let labels: [(name: KeptText, value: KeptText)]

    init(_ node: Configuration, port fallback: UInt16?, _ context: Context) throws(PluginError) {
        try node.allow(["path", "port", "interval_ms", "timeout_ms", "max_bytes", "labels"])
        path = try node.text("path", default: "/metrics")
        guard path.hasPrefix("/"), path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw node["path"].error("a path begins with '/' and has no blanks")
        }
        let port = node["port"]
        self.port = port.isNull ? fallback : UInt16(try port.integer(in: 1...65_535))
        // As often as a page of a few thousand lines costs a backend nothing.
        interval = UInt32(try node.integer("interval_ms", default: 1_000, in: 50...60_000))
        // Half an interval: what is slower says by that alone that it is busy.
        timeout = Int32(try node.integer("timeout_ms", default: 500, in: 10...10_000))
        // vLLM's page has some 100 KB, Triton's with a hundred models about as much.
        maxBytes = Int(try node.integer("max_bytes", default: 1_048_576, in: 1_024...16_777_216))
        var labels: [(name: KeptText, value: KeptText)] = []
        for (name, value) in try node["labels"].members() {
            guard labels.count < 8 else { throw value.error("more than 8 labels") }
            labels.append((KeptText(name), KeptText(Self.expanded(try value.text(), context))))
        }
        self.labels = labels
    }

    /// `{model}` and `{version}` stand for what the backend calls the pool's.
    private static func expanded(_ text: String, _ context: Context) -> String {
        guard text == "{model}" || text == "{version}" else { return text }
        for model in context.host.models.all where String(model.name) == context.model {
            for version in model.versions where String(version.name) == context.version {
                return String(text == "{model}" ? version.upstreamModel : version.upstreamVersion)
            }
        }
        return text == "{model}" ? context.model : context.version
    }
}
