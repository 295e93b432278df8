extension MetricRegistry {
    /// The gauges that a status report holds.
    static func writeStatus(_ text: inout PrometheusText, _ status: StatusReport) {
        text.begin("sluice_generation", .gauge, "Number of the configuration that new requests get.")
        text.sample([], status.generations.map(\.number).max() ?? 0)
        text.begin("sluice_generations_live", .gauge, "Configurations in memory, those that drain included.")
        text.sample([], UInt64(status.generations.count))
        text.begin("sluice_images", .gauge, "Plugin libraries in this process; they are never unmapped.")
        text.sample([], UInt64(status.images.count))
        text.begin("sluice_image_bytes", .gauge, "Bytes of the plugin libraries in this process.")
        text.sample([], UInt64(status.images.reduce(0) { $0 + max($1.bytes, 0) }))
        text.begin("sluice_uptime_seconds", .gauge, "Since the gateway began to serve.")
        text.sample([], status.uptimeSeconds)

        var endpoints: [(labels: [(String, String)], endpoint: StatusReport.Endpoint)] = []
        for model in status.models {
            for version in model.versions {
                var seen: Set<String> = []
                for endpoint in version.endpoints where seen.insert(endpoint.address).inserted {
                    let place = [("model", model.name), ("version", version.name), ("endpoint", endpoint.address)]
                    endpoints.append((place, endpoint))
                }
            }
        }
        writePools(&text, status)
        text.begin("sluice_endpoint_healthy", .gauge, "1 while checks and its answers do not keep it out.")
        for (labels, endpoint) in endpoints { text.sample(labels, endpoint.healthy ? "1" : "0") }
        text.begin("sluice_breaker_state", .gauge, "Circuit breakers: 0 closed, 1 half open, 2 open.")
        for model in status.models {
            for version in model.versions {
                if let breaker = version.breaker {
                    text.sample(
                        [("model", model.name), ("version", version.name), ("endpoint", "")], state(breaker))
                }
            }
        }
        for (labels, endpoint) in endpoints {
            if let breaker = endpoint.breaker { text.sample(labels, state(breaker)) }
        }
        text.begin("sluice_endpoint_in_flight", .gauge, "Attempts under way on the endpoint.")
        for (labels, endpoint) in endpoints { text.sample(labels, UInt64(max(endpoint.inFlight, 0))) }
        text.begin("sluice_endpoint_first_byte_ewma_seconds", .gauge, "Moving average of the time to the first byte.")
        for (labels, endpoint) in endpoints { text.sample(labels, PrometheusText.seconds(endpoint.ewmaNs)) }
        writeDiscovery(&text, status)
    }

    private static func writePools(_ text: inout PrometheusText, _ status: StatusReport) {
        text.begin("sluice_pool_under_way", .gauge, "Requests of a pool on their way to an endpoint or at one.")
        for model in status.models {
            for version in model.versions where version.backend == nil {
                text.sample([("model", model.name), ("version", version.name)], UInt64(max(version.underWay, 0)))
            }
        }
        text.begin("sluice_pool_limit", .gauge, "How many those may be, where `concurrency_limit` is configured.")
        for model in status.models {
            for version in model.versions where version.backend == nil && version.limit != .max {
                text.sample([("model", model.name), ("version", version.name)], UInt64(version.limit))
            }
        }
    }

    private static func state(_ breaker: String) -> String {
        breaker == "closed" ? "0" : breaker == "half_open" ? "1" : "2"
    }

    /// The names of Prometheus' own client libraries ("Writing client libraries", process metrics).
    static func writeProcess(_ text: inout PrometheusText, _ process: ProcessStatistics) {
        if let seconds = process.cpuSeconds {
            text.begin("process_cpu_seconds_total", .counter, "User and system CPU time.")
            text.sample([], seconds)
        }
        if let bytes = process.residentBytes {
            text.begin("process_resident_memory_bytes", .gauge, "Resident memory.")
            text.sample([], bytes)
        }
        if let bytes = process.virtualBytes {
            text.begin("process_virtual_memory_bytes", .gauge, "Virtual memory.")
            text.sample([], bytes)
        }
        if let count = process.openDescriptors {
            text.begin("process_open_fds", .gauge, "Open file descriptors.")
            text.sample([], count)
        }
        if let count = process.maxDescriptors {
            text.begin("process_max_fds", .gauge, "Limit of open file descriptors.")
            text.sample([], count)
        }
        if let count = process.threads {
            text.begin("process_threads", .gauge, "Threads of the process.")
            text.sample([], count)
        }
        if let seconds = process.startSeconds {
            text.begin("process_start_time_seconds", .gauge, "When the process began, since 1970-01-01 UTC.")
            text.sample([], seconds)
        }
    }

    /// What plugins declared: one family after the other, whatever the order of the declarations. What was counted
    /// stays; a gauge goes with the last instance that could say how things stand.
    func writeDeclared(_ text: inout PrometheusText, _ names: Names) {
        var families: [String] = []
        var members: [String: [Int]] = [:]
        for (index, metric) in names.declared.enumerated() where metric.kind != .gauge || names.holders[index] > 0 {
            if members[metric.family] == nil { families.append(metric.family) }
            members[metric.family, default: []].append(index)
        }
        for family in families {
            let indices = members[family] ?? []
            guard let first = indices.first else { continue }
            let kind = names.declared[first].kind
            text.begin(family, kind.family, names.declared[first].description)
            for index in indices { writeDeclared(&text, names.declared[index], index) }
        }
    }

    /// Whether an instance of the plugin of that name in the configuration says by its gauge `degraded` that it goes on
    /// with less than it was told to. [any]
    func isDegraded(plugin: String) -> Bool {
        names.withLock { names in
            names.declared.indices.contains { index in
                let metric = names.declared[index]
                return metric.key.plugin == plugin && metric.kind == .gauge && metric.name == "degraded"
                    && names.holders[index] > 0 && declaredValue(index) > 0
            }
        }
    }

    /// Of a histogram the sum.
    private func declaredValue(_ index: Int) -> Double {
        let row = MetricLayout.declared + index * MetricLayout.declaredCells
        return shards.reduce(Double(bitPattern: common[row])) { $0 + Double(bitPattern: $1.cells[row]) }
    }

    private func writeDeclared(_ text: inout PrometheusText, _ metric: DeclaredMetric, _ index: Int) {
        var labels = [("plugin", metric.key.plugin)]
        for place in stride(from: 0, to: metric.key.labels.count, by: 2) {
            func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
            labels.append((text(metric.key.labels[place]), text(metric.key.labels[place + 1])))
        }
        let value = declaredValue(index)
        if metric.kind == .histogram {
            let counts = sums(
                MetricLayout.declared + index * MetricLayout.declaredCells + 1, ValueBuckets.count)
            text.histogram(labels, bounds: ValueBuckets.labels, counts: counts, sum: PrometheusText.number(value))
        } else {
            text.sample(labels, value)
        }
    }
}

extension MetricKind {
    fileprivate var family: PrometheusText.Kind {
        switch self {
        case .counter: .counter
        case .gauge: .gauge
        case .histogram: .histogram
        }
    }
}
