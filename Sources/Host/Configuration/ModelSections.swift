/// The keys under `models:`.
extension Settings {
    mutating func readModels(_ section: Section) {
        section.table("models", names: .modelName, "What is served, each model by the name that clients ask for.") {
            inner in
            var model = ModelSettings(name: inner.name, position: inner.position)
            model.read(inner, pipeline)
            models.append(model)
        }
        checkFallbacks(section.reading)
        checkSelection(section.reading)
    }
}

extension Settings.ModelSettings {
    fileprivate mutating func read(_ section: Section, _ pipeline: Settings.Pipeline) {
        section.table("versions", names: .modelName, required: true, "Each version by the name that clients ask for.") {
            inner in
            if let version = Settings.VersionSettings(inner, pipeline) { versions.append(version) }
        }
        readLabels(section)
        section.integer(
            "timeout_ms", into: &timeoutMs, 1...86_400_000, initially: "`routing.default_timeout_ms`",
            "From a request's last byte to the head of its answer.")
        let inherited = "the pipeline's"
        filters = section.links(
            "filters", initially: "none",
            "Run after routing, besides the gateway's, which run before the model is known.")
        routers = section.links("router", initially: inherited, "Replaces the routers.")
        balancer = section.link("balancer", initially: inherited, "Replaces the balancer.")
        batcher = section.link("batcher", initially: inherited, "Replaces the batcher; `null` takes it out.")
        section.section("retry_policy", initially: "`gateway.routing.retry_policy`", "Tries after a failed one.") {
            retry = Settings.Retry($0)
        }
        section.section("hedge", initially: "`gateway.routing.hedge`", "A second attempt beside one that is slow.") {
            hedge = Settings.Hedge($0)
        }
        section.section(
            "circuit_breaker", initially: "`gateway.circuit_breaker`", "When an endpoint is given a rest."
        ) { circuitBreaker = Settings.CircuitBreaker($0) }
        section.section(
            "outlier_detection", initially: "`gateway.outlier_detection`",
            "When an endpoint's answers put it out of its pool."
        ) { outlierDetection = Settings.OutlierDetection($0) }
        selection.read(section, "`gateway.", "`")
        section.section("queue", initially: "`gateway.queue`", "Where this model's requests wait.") { inner in
            var queue = Settings.Queue()
            queue.read(inner)
            self.queue = queue
        }
        section.section(
            "concurrency_limit", initially: "`gateway.concurrency_limit`",
            "How many requests of each version may be under way at once."
        ) { concurrency = Settings.Concurrency($0) }
        section.section("batching", initially: "`gateway.batching`", "How this model's requests are gathered.") {
            batching = Settings.Batching($0)
        }
        section.section("health_check", initially: "none", "How endpoints are probed.") {
            healthCheck = Settings.HealthCheck($0)
        }
        readFallbacks(section)
    }

    private mutating func readLabels(_ section: Section) {
        let table = Shape.table(.text(.modelName), names: .name, atLeast: 0)
        let meaning = "Labels that routers know, each with the version it stands for."
        let names = section.versionNames
        let declared = Set(names)
        for entry in section.take("labels", .either([.null, table]), initially: "none", meaning)?.entries ?? [] {
            let reading = section.reading
            section.checkName(entry, .name)
            guard reading.check(entry.value, .text(.modelName), "`\(printable(entry.key))`"),
                let version = entry.value.text
            else { continue }
            if declared.contains(entry.key) {
                reading.error(
                    entry.keyPosition, "the label `\(printable(entry.key))` is the name of a version too; rename it")
            } else if !declared.contains(version) {
                let nearest = reading.guess(for: entry.value, among: names)
                reading.error(
                    entry.value.position,
                    "the model has no version \(reading.shown(entry.value)); "
                        + (nearest.map { "did you mean `\($0)`?" } ?? "list it under `versions`"))
            } else {
                labels.append((entry.key, version))
            }
        }
    }
}

extension Section {
    /// The versions as the file names them, those with errors included.
    fileprivate var versionNames: [String] { peek("versions")?.entries?.map(\.key) ?? [] }

    fileprivate var hasEndpoints: Bool { has("endpoints") || has("discovery") }
}

extension Settings.VersionSettings {
    fileprivate init?(_ section: Section, _ pipeline: Settings.Pipeline) {
        self.init(
            version: section.name, position: section.position,
            backendConfig: .scalar("", quoted: false, section.position))
        section.exactlyOne(
            of: ["endpoints", "discovery", "backend"],
            "a version is served by endpoints, by those that a discovery finds, or in this process by a backend plugin")
        readEndpoints(section)
        readDiscovery(section)
        readTLS(section)
        readBackend(section)
        readProtocol(section, pipeline)
        section.integer(
            "weight", into: &weight, 0...1_000_000, "Share of the model's requests, for routers that weigh.")
        section.section("upstream", initially: "unchanged", "Names toward the backend.") { inner in
            upstreamModel = inner.text("model", .modelName, initially: "unchanged", "The model's.")
            upstreamVersion = inner.text("version", .modelName, initially: "unchanged", "The version's.")
        }
        section.integer(
            "max_connections", into: &maxConnections, 1...65_536, "To one endpoint, in use at once, of all workers.")
    }

    private mutating func readTLS(_ section: Section) {
        var found: Settings.EndpointTLS?
        section.section(
            "tls", initially: "for `https://` and `grpcs://`: the system's authorities",
            "How endpoints of `https://` and `grpcs://` are verified, and what they are shown."
        ) { found = Settings.EndpointTLS($0) }
        guard !section.isDescribing else { return }
        let usesTLS = scheme?.usesTLS == true
        if usesTLS {
            tls = found ?? Settings.EndpointTLS(position: section.position)
        } else if let position = section.keyPosition("tls"), section.peek("tls")?.isNull == false, scheme != nil {
            section.reading.error(
                position, "`tls` is for endpoints of `https://` and `grpcs://`, and these speak without TLS; remove it")
        }
    }

    private mutating func readBackend(_ section: Section) {
        let name = section.take("backend", .text(.pluginName), "The plugin that serves the version in this process.")
        backend = name.flatMap(section.reading.reference)
        if let tree = section.take(
            "config", .anything, initially: "null", "Handed to the backend plugin, unread by the host.")
        {
            backendConfig = tree
        }
        guard section.hasEndpoints, !section.has("backend"), let position = section.keyPosition("config") else {
            return
        }
        section.reading.error(position, "`config` goes to a backend plugin, and this version has endpoints; remove it")
    }

    private mutating func readProtocol(_ section: Section, _ pipeline: Settings.Pipeline) {
        let name = section.take(
            "protocol", .text(.pluginName), initially: "the adapter, where the pipeline has just one",
            "The adapter spoken toward the endpoints.")
        protocolAdapter = name.flatMap(section.reading.reference)
        guard !section.isDescribing else { return }
        let reading = section.reading
        if section.has("backend"), !section.hasEndpoints {
            for key in ["protocol", "max_connections", "tls"] {
                if let position = section.keyPosition(key) {
                    reading.error(position, "`\(key)` is for endpoints, and this version has a backend; remove it")
                }
            }
        } else if section.hasEndpoints, !section.has("protocol") {
            if pipeline.adapters.count == 1 {
                protocolAdapter = pipeline.adapters.first
            } else if !pipeline.hasRefusedAdapters {
                let count = pipeline.adapters.isEmpty ? "no adapter" : "several adapters"
                reading.error(
                    section.position,
                    "`protocol` is missing in `\(printable(section.name))`: the pipeline has \(count), so "
                        + "say which one its endpoints speak")
            }
        }
    }
}
