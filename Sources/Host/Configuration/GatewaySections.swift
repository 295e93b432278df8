/// The keys under `gateway:`.
extension Settings {
    mutating func readGateway(_ section: Section) {
        section.section("server", initially: "port 8080", "The HTTP listener, and what the whole process may use.") {
            readServer($0)
        }
        section.sections("listeners", "Listeners in place of, or beside, `server.port`.") { readListener($0) }
        section.section("limits", "What one connection may ask for.") { limits.read($0) }
        section.section("routing", "Deadlines and tries.") { routing.read($0) }
        section.section("circuit_breaker", initially: "no breaker", "When an endpoint is given a rest.") {
            circuitBreaker = CircuitBreaker($0)
        }
        section.section("outlier_detection", initially: "off", "When an endpoint's answers put it out of its pool.") {
            outlierDetection = OutlierDetection($0)
        }
        zone = section.text("zone", .zone, initially: "not known", "Where this gateway runs.") ?? zone
        section.integer(
            "instance", into: &instance, 0...1_000_000, initially: "not said",
            "The number of this gateway in its fleet, from 0 and without gaps, such as the ordinal of a StatefulSet.")
        selection.read(section)
        section.section("queue", "Where requests wait while their pool has as many under way as it may.") {
            queue.read($0)
        }
        section.section(
            "concurrency_limit", initially: "the connections to the endpoints are the limit",
            "How many requests of a pool may be under way at once."
        ) { concurrency = Settings.Concurrency($0) }
        section.section("batching", initially: "no batching", "How long the batcher gathers, and how many requests.") {
            batching = Batching($0)
        }
        admin.isKnown = !section.has("admin")
        section.section("admin", "The local socket of `sluice status` and `sluice reload`.") { admin.read($0) }
        section.section("monitoring", "What an operator sees.") {
            monitoring.read($0)
            notePositions($0, named: "monitoring")
        }
        section.section("reload", "How a new configuration takes over.") { reload.read($0) }
    }

    private mutating func readServer(_ section: Section) {
        notePositions(section, named: "server")
        let port = section.take(
            "port", .integer(0...65_535), initially: "8080, when there are no `listeners` either",
            "A listener on 0.0.0.0 for HTTP/1.1 and HTTP/2 without TLS; 0 asks the kernel for a free port.")
        if let port, let number = port.integer {
            listeners.append(
                ListenerSettings(
                    address: .tcp(host: "0.0.0.0", port: UInt16(clamping: number)), position: port.position))
        }
        let workers = section.take(
            "worker_threads", .either([.choice(["auto"]), .integer(1...1_024)]), initially: "auto",
            "Event loops; `auto` is one per core. Fixed until a restart.")
        server.workerThreads = workers?.integer
        section.integer(
            "max_connections", into: &server.maxConnections, 1...10_000_000, "Client connections in all.")
        let cores = Shape.list(.integer(0...1_023), atLeast: 1)
        let affinity = section.take(
            "cpu_affinity", .either([.choice(["off", "auto"]), cores]), initially: "off",
            "Binds workers to cores: `auto` takes them in order, a list in its own.")
        if affinity?.text == "auto" { server.cpuAffinity = .auto }
        if let numbers = affinity?.items { server.cpuAffinity = .cores(numbers.compactMap(\.integer)) }
        section.integer(
            "offload_threads", into: &server.offloadThreads, 1...256,
            "Threads for work of plugins that blocks. Fixed until a restart.")
        section.integer(
            "offload_queue", into: &server.offloadQueue, 1...1_000_000,
            "Jobs of plugins that may wait for these threads. Fixed until a restart.")
        section.integer(
            "spare_buffer_bytes", into: &server.spareBufferBytes, 0...17_179_869_184,
            "Of buffers that each worker keeps when a burst is over, a fifth in such of 4 KiB, and two fifths each in "
                + "such of 64 KiB and 1 MiB; the system gets back what is beyond it. Fixed until a restart.")
        section.integer(
            "spare_stream_bytes", into: &server.spareStreamBytes, 0...17_179_869_184,
            "Of the small blocks that streams of HTTP/2 are made of, as many bytes stay with each worker when streams "
                + "end. Fixed until a restart.")
    }

    private mutating func readListener(_ section: Section) {
        let meaning =
            "`IPv4:port`, `[IPv6]:port` or `unix:path`; port 0 asks the kernel for a free one."
        let node = section.take("address", .text(.listenAddress), required: true, meaning)
        var tls: ListenerTLS?
        section.section(
            "tls", initially: "no TLS",
            "Speaks TLS, with ALPN for HTTP/1.1 and HTTP/2; beside `adapter` no protocol is chosen by ALPN."
        ) { tls = ListenerTLS($0) }
        let adapter = section.take(
            "adapter", .text(.pluginName), initially: "HTTP",
            "The adapter that frames raw TCP: what clients send here are messages of its protocol.")
        if let adapter { section.reading.listenerAdapters.append(adapter) }
        guard let node, let text = node.text, case .success(var address) = ListenAddress.parse(text) else { return }
        if case .unix(let path) = address {
            let absolute = section.reading.absolute(path)
            section.checkSocketPath(absolute, node.position)
            address = .unix(path: absolute)
        }
        var listener = ListenerSettings(address: address, position: node.position)
        listener.tls = tls
        if let adapter, let name = adapter.text {
            listener.adapter = PluginReference(name: name, position: adapter.position)
        }
        listeners.append(listener)
    }
}

extension Settings.Limits {
    /// Bytes of a name or a value as HPACK brings it, which libnghttp2 takes (NGHTTP2_HD_MAX_NV): no option moves that.
    private static let http2FieldBytes = 65_536

    mutating func read(_ section: Section) {
        section.integer(
            "header_bytes", into: &headerBytes, 1_024...1_048_576,
            "Bytes of a message's head, start line included. Over HTTP/2 one name or value of a field has 65536 at "
                + "most: a longer one ends its connection.")
        if headerBytes > Self.http2FieldBytes, let position = section.peek("header_bytes")?.position {
            section.reading.warning(
                position,
                "over HTTP/2 no name or value of a field has more than \(Self.http2FieldBytes) bytes, and one that "
                    + "does ends its connection; several that are shorter may fill a head")
        }
        section.integer("header_count", into: &headerCount, 1...128, "Fields of a message's head.")
        section.integer(
            "http2_streams", into: &http2Streams, 1...10_000, "Streams of one HTTP/2 connection at once.")
        section.integer(
            "shadows", into: &shadows, 0...100_000,
            "Copies of requests, by routers such as `shadow`, under way on one worker at once.")
        section.integer(
            "body_bytes", into: &bodyBytes, 0...1_099_511_627_776, "Bytes of a request's body; above it is 413.")
        section.integer(
            "inflated_bytes", into: &inflatedBytes, 0...1_099_511_627_776,
            "Bytes that a compressed body which has to be read may always come out as, within `body_bytes`.")
        section.integer(
            "inflation_ratio", into: &inflationRatio, 1...1_032,
            "Times its size that a compressed body may come out as where that is more than `inflated_bytes`.")
        section.integer(
            "header_timeout_ms", into: &headerTimeoutMs, 1...86_400_000, "From the first byte of a head to its last.")
        section.integer("body_timeout_ms", into: &bodyTimeoutMs, 1...86_400_000, "Between two reads of a body.")
        section.integer(
            "idle_timeout_ms", into: &idleTimeoutMs, 1...86_400_000, "Between two requests of one connection.")
        section.integer(
            "tunnel_timeout_ms", into: &tunnelTimeoutMs, 1...86_400_000, "Between two bytes of a WebSocket.")
    }
}

extension Settings.Routing {
    mutating func read(_ section: Section) {
        section.integer(
            "default_timeout_ms", into: &defaultTimeoutMs, 1...86_400_000,
            "From a request's last byte to the head of its answer.")
        section.integer("connect_timeout_ms", into: &connectTimeoutMs, 1...86_400_000, "To connect to an endpoint.")
        section.integer(
            "http2_ping_interval_ms", into: &http2PingIntervalMs, 1_000...86_400_000,
            "Silence of an HTTP/2 endpoint, while requests are open, until it gets a PING. Servers of gRPC end "
                + "connections on which these come more often than every 5 minutes.")
        section.section("retry_policy", initially: "no retries", "Tries after a failed one.") {
            retry = Settings.Retry($0)
        }
        section.section("hedge", initially: "no hedges", "A second attempt beside one that is slow.") {
            hedge = Settings.Hedge($0)
        }
    }
}

extension Settings.Batching {
    init(_ section: Section) {
        self.init()
        position = section.position
        section.integer("max_batch_size", into: &maxBatchSize, 1...65_536, "Rows of one batch.")
        section.number("max_delay_ms", into: &maxDelayMs, 0...60_000, "How long the first request of a batch may wait.")
    }

    /// What is in force, keys that the file leaves out included, as a plugin reads it.
    /// - Parameter reference: where the batcher is named, for settings that stand in no file.
    public func node(_ reference: Position) -> Node {
        let position = position ?? reference
        func entry(_ key: String, _ value: String) -> Node.Entry {
            Node.Entry(key: key, keyPosition: position, value: .scalar(value, quoted: false, position))
        }
        return .mapping(
            [entry("max_batch_size", "\(maxBatchSize)"), entry("max_delay_ms", decimal(maxDelayMs))], position)
    }
}

extension Settings.Admin {
    mutating func read(_ section: Section) {
        let node = section.take(
            "socket", .text(.path), initially: "run/sluice.sock", "Path of the Unix socket; mode 0600.")
        isKnown = node?.text != nil || !section.has("socket")
        guard let node, let path = node.text else { return }
        socket = section.reading.absolute(path)
        section.checkSocketPath(socket, node.position)
    }
}

extension Settings.Monitoring {
    /// The levels of swift-log.
    static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]

    mutating func read(_ section: Section) {
        let port = section.take(
            "metrics_port", .integer(0...65_535), initially: "no metrics listener",
            "Prometheus text at `/metrics`; 0 asks the kernel for a free port.")
        if let number = port?.integer { metricsPort = UInt16(clamping: number) }
        if let address = section.text(
            "metrics_address", .numericHost, initially: metricsAddress, "Where metrics are served.")
        {
            metricsAddress = address
        }
        section.integer(
            "slow_request_ms", into: &slowRequestMs, 1...86_400_000, initially: "off",
            "A request that took longer is logged.")
        let level = section.take("log_level", .choice(Self.logLevels), initially: logLevel, "The least level logged.")
        if let word = level?.text { logLevel = word }
        section.choice("log_format", into: &logFormat, "Lines for people or for machines.")
        section.integer(
            "log_buffer_bytes", into: &logBufferBytes, 65_536...1_073_741_824,
            "Of lines that wait to be written, rounded up to a power of two; what finds no room is dropped and "
                + "counted. Fixed until a restart.")
        _ = section.take(
            "trace_sample_rate", .number(0...1), initially: "0", effect: .later, "Share of requests that are traced.")
        _ = section.text(
            "otlp_endpoint", .webAddress, initially: "none", effect: .later, "Where traces are sent, by OTLP over HTTP."
        )
    }
}

extension Settings.Reload {
    mutating func read(_ section: Section) {
        let strategy = section.take(
            "strategy", .choice(["immediate", "canary"]), initially: "immediate",
            "`immediate`: new requests take the new configuration at once. `canary`, a growing share of them, has no "
                + "effect yet.")
        if let strategy, strategy.text == "canary" {
            section.reading.warning(strategy.position, "`strategy: canary` has no effect yet: a reload is immediate")
        }
        _ = section.take(
            "steps", .list(.integer(1...100), atLeast: 1), initially: "none", effect: .later,
            "Percents of requests, one step after the other.")
        _ = section.take("hold_sec", .integer(1...86_400), initially: "30", effect: .later, "Seconds on each step.")
        section.section("rollback", effect: .later, initially: "none", "When the old configuration comes back.") {
            inner in
            _ = inner.take(
                "error_rate", .number(0...1), initially: "none", "Share of failed requests of the new configuration.")
        }
        section.integer(
            "drain_timeout_ms", into: &drainTimeoutMs, 0...86_400_000,
            "How long a retired configuration may keep exchanges that do not end.")
    }
}
