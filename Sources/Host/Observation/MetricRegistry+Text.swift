extension MetricRegistry {
    /// All metrics in the Prometheus text format 0.0.4.
    /// - Parameters:
    ///   - status: the moment's state, which the gauges of generations, images and endpoints are made of; nil leaves
    ///     them out.
    func prometheusText(status: StatusReport?, process: ProcessStatistics = .current()) -> [UInt8] {
        let names = names.withLock { $0 }
        var text = PrometheusText()
        writeHost(&text, names)
        writeRequests(&text, names)
        writePools(&text, names)
        writeEndpoints(&text, names)
        writePlugins(&text, names)
        if let status { Self.writeStatus(&text, status) }
        Self.writeProcess(&text, process)
        writeDeclared(&text, names)
        return text.bytes
    }

    private func writeHost(_ text: inout PrometheusText, _ names: Names) {
        text.begin("sluice_build_info", .gauge, "What runs; always 1.")
        text.sample([("version", SluiceVersion.text)], "1")
        text.begin("sluice_connections_opened_total", .counter, "Connections accepted from clients and made upstream.")
        labelled(&text, MetricLayout.opened, ConnectionSide.self, "side")
        text.begin("sluice_connections_open", .gauge, "Connections that are open now.")
        for side in ConnectionSide.allCases {
            let open = sum(MetricLayout.opened + side.rawValue) &- sum(MetricLayout.closed + side.rawValue)
            text.sample([("side", side.label)], Self.gauge(open))
        }
        text.begin("sluice_received_bytes_total", .counter, "Bytes read from sockets.")
        labelled(&text, MetricLayout.received, ConnectionSide.self, "side")
        text.begin("sluice_sent_bytes_total", .counter, "Bytes written to sockets.")
        labelled(&text, MetricLayout.sent, ConnectionSide.self, "side")
        text.begin("sluice_tls_handshakes_total", .counter, "Handshakes of TLS that were completed.")
        for side in ConnectionSide.allCases {
            for kind in HandshakeKind.allCases {
                let cell = MetricLayout.handshakes + side.rawValue * HandshakeKind.count + kind.rawValue
                text.sample([("side", side.label), ("kind", kind.label)], sum(cell))
            }
        }
        text.begin("sluice_parse_errors_total", .counter, "Messages that a parser rejected.")
        for side in ConnectionSide.allCases {
            for kind in ParseErrorKind.allCases {
                let cell = MetricLayout.parseErrors + side.rawValue * ParseErrorKind.count + kind.rawValue
                text.sample([("side", side.label), ("kind", kind.label)], sum(cell))
            }
        }
        text.begin("sluice_timeouts_total", .counter, "Limits in time that were reached.")
        labelled(&text, MetricLayout.timeouts, TimeoutKind.self, "kind")
        text.begin("sluice_rejected_total", .counter, "Requests and connections that the gateway itself turned down.")
        labelled(&text, MetricLayout.rejected, RejectReason.self, "reason")
        text.begin("sluice_exchanges_in_flight", .gauge, "Requests whose response is not complete.")
        text.sample([], Self.gauge(sum(MetricLayout.exchangesBegun) &- sum(MetricLayout.exchangesEnded)))
        text.begin("sluice_tunnels_open", .gauge, "Connections that have switched to another protocol.")
        text.sample([], Self.gauge(sum(MetricLayout.tunnels)))
        text.begin("sluice_buffers_in_use", .gauge, "Buffers taken from the pools, by the bytes of their class.")
        for bufferClass in BufferClass.allCases {
            let count = sum(MetricLayout.buffers + bufferClass.rawValue)
            text.sample([("class", bufferClass.label)], Self.gauge(count))
        }
        text.begin("sluice_counted_buffer_bytes", .gauge, "Bytes in counted buffers, which plugins and batches share.")
        text.sample([], Self.gauge(UInt64(CountedBuffers.bytesInUse)))
        text.begin("sluice_buffers_refused_total", .counter, "Counted buffers refused since their bound was reached.")
        text.sample([], UInt64(CountedBuffers.refusals))
        text.begin("sluice_reloads_total", .counter, "Reloads of the configuration.")
        for result in ReloadResult.allCases {
            text.sample([("outcome", result.label)], names.reloads[result.rawValue])
        }
        text.begin("sluice_log_dropped_total", .counter, "Log messages dropped since the writer could not keep up.")
        text.sample([], HostLog.dropped)
        text.begin("sluice_metric_series_refused_total", .counter, "Registrations beyond a bound.")
        text.sample([], names.refused)
    }

    private func writeRequests(_ text: inout PrometheusText, _ names: Names) {
        text.begin("sluice_requests_total", .counter, "Exchanges that ended, by status; 0: no response was sent.")
        eachPool(names) { labels, series in
            for (index, count) in sums(series + MetricLayout.status, MetricLayout.statusCells).enumerated()
            where count != 0 {
                text.sample(labels + [("status", index == 0 ? "0" : String(index + 99))], count)
            }
        }
        text.begin(
            "sluice_request_duration_seconds", .histogram,
            "From the complete head of a request to the last byte of its response.")
        eachPool(names) { labels, series in
            for statusClass in 0..<MetricLayout.statusClasses {
                let label = statusClass == 0 ? "none" : "\(statusClass)xx"
                latency(
                    &text, labels + [("status_class", label)],
                    series + MetricLayout.duration + statusClass * LatencyBuckets.cells)
            }
        }
        text.begin(
            "sluice_request_first_byte_seconds", .histogram,
            "From the begin of the last attempt to the first byte of its response.")
        eachPool(names) { latency(&text, $0, $1 + MetricLayout.firstByte) }
        text.begin("sluice_request_body_bytes_total", .counter, "Bytes of the bodies of requests.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.requestBytes)) }
        text.begin("sluice_response_body_bytes_total", .counter, "Bytes of the bodies of responses.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.responseBytes)) }
    }

    private func writePools(_ text: inout PrometheusText, _ names: Names) {
        text.begin("sluice_retries_total", .counter, "Attempts after the first one of an exchange.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.retries)) }
        text.begin("sluice_hedges_total", .counter, "Second attempts beside slow ones.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.hedges)) }
        text.begin("sluice_hedges_won_total", .counter, "Second attempts whose answer was taken.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.hedgesWon)) }
        text.begin("sluice_hedges_refused_total", .counter, "Second attempts that a bound or the budget did not allow.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.hedgesRefused)) }
        text.begin("sluice_retries_refused_total", .counter, "Attempts that the retry budget did not allow.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.retriesRefused)) }
        text.begin("sluice_fallbacks_total", .counter, "Steps of a fallback taken in place of the pool's answer.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.degraded)) }
        text.begin("sluice_breaker_opened_total", .counter, "Times that a circuit breaker of the pool opened.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.breakerOpened)) }
        text.begin("sluice_ejections_total", .counter, "Endpoints taken out of the pool for what they answered.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.ejections)) }
        text.begin("sluice_health_checks_total", .counter, "Active checks of the pool's endpoints that ended.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.checks)) }
        text.begin("sluice_health_checks_failed_total", .counter, "Active checks that failed.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.checksFailed)) }
        text.begin("sluice_queue_depth", .gauge, "Requests that wait in the pool's queue.")
        eachPool(names) { text.sample($0, Self.gauge(sum($1 + MetricLayout.queueDepth))) }
        text.begin("sluice_queue_seconds", .histogram, "Time that requests waited in scheduler and batcher.")
        eachPool(names) { latency(&text, $0, $1 + MetricLayout.queued) }
        text.begin("sluice_batch_rows", .histogram, "Rows of the batches that were sent.")
        eachPool(names) { labels, series in
            let counts = sums(series + MetricLayout.batchRows, RowBuckets.count)
            guard counts.contains(where: { $0 != 0 }) else { return }
            let rows = sum(series + MetricLayout.batchRows + RowBuckets.count)
            text.histogram(labels, bounds: RowBuckets.labels, counts: counts, sum: String(rows))
        }
        text.begin("sluice_batched_requests_total", .counter, "Requests that went in batches.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.batchedRequests)) }
        text.begin("sluice_upstream_connections_open", .gauge, "Connections of the pool, idle ones included.")
        eachPool(names) { labels, series in
            let open = sum(series + MetricLayout.upstreamOpened) &- sum(series + MetricLayout.upstreamClosed)
            text.sample(labels, Self.gauge(open))
        }
        text.begin("sluice_upstream_connections_idle", .gauge, "Connections of the pool that wait for an exchange.")
        eachPool(names) { text.sample($0, Self.gauge(sum($1 + MetricLayout.upstreamIdle))) }
        text.begin("sluice_upstream_connections_opened_total", .counter, "Connections of the pool that were made.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.upstreamOpened)) }
        text.begin("sluice_upstream_connections_reused_total", .counter, "Exchanges that took an idle connection.")
        eachPool(names) { text.sample($0, sum($1 + MetricLayout.upstreamReused)) }
    }

    private func writeEndpoints(_ text: inout PrometheusText, _ names: Names) {
        text.begin("sluice_attempts_total", .counter, "Tries of an exchange on an endpoint, by how they ended.")
        eachEndpoint(names) { labels, row in
            for outcome in AttemptOutcome.allCases {
                let count = sum(row + outcome.rawValue)
                if count != 0 { text.sample(labels + [("outcome", outcome.label)], count) }
            }
        }
        text.begin("sluice_attempt_duration_seconds_total", .counter, "Time that the tries took, in all.")
        eachEndpoint(names) { text.sample($0, PrometheusText.seconds(sum($1 + MetricLayout.attemptTime))) }
    }

    private func writePlugins(_ text: inout PrometheusText, _ names: Names) {
        text.begin("sluice_call_duration_seconds", .summary, "Time of the calls into a plugin that were sampled.")
        eachPlugin(names) { labels, row in
            text.sample(labels, PrometheusText.seconds(sum(row + MetricLayout.callTime)), suffix: "_sum")
            text.sample(labels, sum(row + MetricLayout.calls), suffix: "_count")
        }
        text.begin("sluice_call_longest_seconds", .gauge, "The longest call into a plugin that was sampled.")
        eachPlugin(names) { labels, row in
            let longest = shards.map { $0.cells[row + MetricLayout.callLongest] }.max() ?? 0
            text.sample(labels, PrometheusText.seconds(longest))
        }
        text.begin("sluice_call_errors_total", .counter, "Calls into a plugin that failed without an error code.")
        eachPlugin(names) { text.sample($0, sum($1 + MetricLayout.callErrors)) }
        text.begin(
            "sluice_exchanges_held", .gauge, "Exchanges that ended before the plugin that had suspended them resumed.")
        eachPlugin(names) { text.sample($0, Self.gauge(sum($1 + MetricLayout.held))) }
        text.begin("sluice_adapter_requests_total", .counter, "Exchanges that an adapter decoded.")
        eachPlugin(names) { labels, row in
            let count = sum(row + MetricLayout.adapterRequests)
            if count != 0 { text.sample([("adapter", labels[0].1)], count) }
        }
    }

    // MARK: Parts

    private func labelled<Label: MetricLabel>(
        _ text: inout PrometheusText, _ cell: Int, _ label: Label.Type, _ name: String
    ) {
        for value in Label.allCases { text.sample([(name, value.label)], sum(cell + value.rawValue)) }
    }

    /// A histogram of durations, unless it is empty.
    private func latency(_ text: inout PrometheusText, _ labels: [(String, String)], _ cell: Int) {
        let counts = sums(cell, LatencyBuckets.count)
        guard counts.contains(where: { $0 != 0 }) else { return }
        let sum = PrometheusText.seconds(sum(cell + LatencyBuckets.count))
        text.histogram(labels, bounds: LatencyBuckets.labels, counts: counts, sum: sum)
    }

    /// A gauge that is a sum of signed steps: while its parts are read it may seem to fall below nothing.
    private static func gauge(_ steps: UInt64) -> UInt64 {
        UInt64(max(Int64(bitPattern: steps), 0))
    }

    private func eachPool(_ names: Names, _ body: ([(String, String)], Int) -> Void) {
        for (index, key) in names.pools.enumerated() {
            let series = MetricLayout.pools + index * MetricLayout.poolCells
            body([("model", key.model), ("version", key.version)], series)
        }
    }

    private func eachEndpoint(_ names: Names, _ body: ([(String, String)], Int) -> Void) {
        for case (let index, let key?) in names.endpoints.enumerated() {
            let row = MetricLayout.endpoints + index * MetricLayout.endpointCells
            let labels = [("model", key.pool.model), ("version", key.pool.version), ("endpoint", key.address)]
            body(labels, row)
        }
    }

    private func eachPlugin(_ names: Names, _ body: ([(String, String)], Int) -> Void) {
        for (index, name) in names.plugins.enumerated() {
            body([("plugin", name)], MetricLayout.plugins + index * MetricLayout.pluginCells)
        }
    }
}
