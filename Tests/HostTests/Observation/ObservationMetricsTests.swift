import Synchronization
import Testing

@testable import Host

@Suite struct ObservationMetrics {
    private let process = ProcessStatistics()

    private func registry(_ workers: Int = 2) throws -> MetricRegistry {
        try #require(MetricRegistry(workerCount: workers))
    }

    private func scrape(_ registry: MetricRegistry, status: StatusReport? = nil) throws -> PrometheusScrape {
        try PrometheusScrape(registry.prometheusText(status: status, process: process))
    }

    @Test func durationFallsIntoTheFirstBucketWhoseBoundIsNotBelowIt() throws {
        let cells = try #require(MetricCells(count: LatencyBuckets.tableCells))
        defer { cells.unmap(count: LatencyBuckets.tableCells) }
        LatencyBuckets.fill(cells)
        var samples: [UInt64] = [0, 1, 2, .max, .max - 1]
        for bound in LatencyBuckets.bounds { samples += [bound - 1, bound, bound + 1] }
        for shift in 0..<64 as Range<UInt64> { samples += [1 << shift, (1 << shift) &- 1, (1 << shift) | 1] }
        for sample in samples {
            let expected = LatencyBuckets.bounds.firstIndex { sample <= $0 } ?? LatencyBuckets.bounds.count
            #expect(LatencyBuckets.index(of: sample, table: cells) == expected, "\(sample)")
        }
    }

    @Test func rowsAndValuesFallIntoTheFirstBucketWhoseBoundIsNotBelowThem() {
        for rows in [0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 1_023, 1_024, 1_025, .max] as [UInt32] {
            let bounds = RowBuckets.labels.compactMap { UInt32($0) }
            #expect(RowBuckets.index(of: rows) == bounds.firstIndex { rows <= $0 } ?? bounds.count, "\(rows)")
        }
        let bounds = ValueBuckets.labels.compactMap { Double($0) }
        #expect(bounds.count == ValueBuckets.count - 1)
        var values: [Double] = [0, -1, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude]
        for bound in bounds { values += [bound.nextDown, bound, bound.nextUp, bound * 2] }
        for value in values {
            #expect(ValueBuckets.index(of: value) == bounds.firstIndex { value <= $0 } ?? bounds.count, "\(value)")
        }
    }

    @Test func everyTableHoldsWhatItsRowsAreSaidToHold() {
        func expectDense<Label: MetricLabel>(_ label: Label.Type) {
            #expect(Label.allCases.map(\.rawValue) == Array(0..<Label.count), "\(label)")
            #expect(Set(Label.allCases.map(\.label)).count == Label.count, "\(label)")
        }
        expectDense(ConnectionSide.self)
        expectDense(ParseErrorKind.self)
        expectDense(TimeoutKind.self)
        expectDense(RejectReason.self)
        expectDense(AttemptOutcome.self)
        expectDense(BufferClass.self)
        expectDense(ReloadResult.self)
        #expect(LatencyBuckets.bounds.count + 1 == LatencyBuckets.count)
        #expect(LatencyBuckets.labels.count + 1 == LatencyBuckets.count)
        #expect(zip(LatencyBuckets.labels, LatencyBuckets.bounds).allSatisfy { $0 == PrometheusText.seconds($1) })
        #expect(MetricLayout.status + MetricLayout.statusCells <= MetricLayout.poolCells)
        #expect(MetricLayout.attemptTime < MetricLayout.endpointCells)
        #expect(MetricLayout.adapterRequests < MetricLayout.pluginCells)
        #expect(1 + ValueBuckets.count <= MetricLayout.declaredCells)
        #expect(MetricLayout.hostEnd <= MetricLayout.pools)
    }

    @Test func requestsAreCountedByModelVersionAndExactStatusOverAllWorkers() throws {
        let registry = try registry()
        let iris = registry.pool(ModelVersionKey(model: "iris", version: "1"))
        let adapter = registry.plugin("open-inference")
        for (worker, status) in [(0, 200), (1, 200), (0, 418), (1, 599), (0, 0), (1, 1_000)] {
            registry.shards[worker].requestBegan()
            registry.shards[worker].requestFinished(
                pool: iris, adapter: adapter, status: status, durationNs: 150_000, firstByteNs: 90_000,
                requestBytes: 10, responseBytes: 1_000)
        }
        registry.shards[0].requestBegan()
        let scrape = try scrape(registry)
        let labels = ["model": "iris", "version": "1"]
        func requests(_ status: String) -> Double? {
            scrape.value("sluice_requests_total", labels.merging(["status": status]) { $1 })
        }
        #expect(requests("200") == 2)
        #expect(requests("418") == 1)
        #expect(requests("599") == 1)
        #expect(requests("0") == 2)
        #expect(requests("404") == nil)
        let okay = labels.merging(["status_class": "2xx"]) { $1 }
        #expect(scrape.value("sluice_request_duration_seconds_count", okay) == 2)
        #expect(scrape.value("sluice_request_duration_seconds_sum", okay) == 0.0003)
        #expect(scrape.value("sluice_request_duration_seconds_bucket", okay.merging(["le": "0.0001"]) { $1 }) == 0)
        #expect(scrape.value("sluice_request_duration_seconds_bucket", okay.merging(["le": "0.0002"]) { $1 }) == 2)
        #expect(scrape.value("sluice_request_first_byte_seconds_count", labels) == 6)
        #expect(scrape.value("sluice_request_body_bytes_total", labels) == 60)
        #expect(scrape.value("sluice_response_body_bytes_total", labels) == 6_000)
        #expect(scrape.value("sluice_adapter_requests_total", ["adapter": "open-inference"]) == 6)
        #expect(scrape.value("sluice_exchanges_in_flight", [:]) == 1)
    }

    @Test func gaugesAreStepsOfAllWorkers() throws {
        let registry = try registry()
        let pool = registry.pool(ModelVersionKey(model: "m", version: "v"))
        let labels = ["model": "m", "version": "v"]
        registry.shards[0].enqueued(pool: pool)
        registry.shards[0].enqueued(pool: pool)
        registry.shards[0].enqueued(pool: pool)
        // Another worker, the pool's home, takes them out: its own steps alone are below nothing.
        registry.shards[1].dequeued(pool: pool, nanoseconds: 1_000_000)
        registry.shards[1].dequeued(pool: pool, nanoseconds: 1_000_000)
        registry.shards[0].upstreamOpened(pool: pool)
        registry.shards[0].upstreamOpened(pool: pool)
        registry.shards[0].upstreamParked(pool: pool)
        registry.shards[0].upstreamParked(pool: pool)
        registry.shards[0].upstreamReused(pool: pool)
        registry.shards[0].upstreamClosed(pool: pool, wasIdle: true)
        registry.shards[1].clientOpened()
        registry.shards[0].buffersInUse[BufferClass.medium.rawValue].store(1, ordering: .relaxed)
        registry.shards[1].buffersInUse[BufferClass.medium.rawValue].store(2, ordering: .relaxed)
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_queue_depth", labels) == 1)
        #expect(scrape.value("sluice_queue_seconds_count", labels) == 2)
        #expect(scrape.value("sluice_upstream_connections_open", labels) == 1)
        #expect(scrape.value("sluice_upstream_connections_idle", labels) == 0)
        #expect(scrape.value("sluice_upstream_connections_reused_total", labels) == 1)
        #expect(scrape.value("sluice_connections_open", ["side": "client"]) == 1)
        #expect(scrape.value("sluice_connections_open", ["side": "upstream"]) == 1)
        #expect(scrape.value("sluice_buffers_in_use", ["class": "65536"]) == 3)
    }

    @Test func everyOtherCounterHasItsSample() throws {
        let registry = try registry(1)
        let shard = registry.shards[0]
        let pool = registry.pool(ModelVersionKey(model: "m", version: "v"))
        let endpoint = registry.endpoint(
            EndpointKey(pool: ModelVersionKey(model: "m", version: "v"), address: "http://127.0.0.1:1"))
        let plugin = registry.plugin("p")
        for kind in ParseErrorKind.allCases { shard.parseFailed(.upstream, kind) }
        for kind in TimeoutKind.allCases { shard.timedOut(kind) }
        for reason in RejectReason.allCases { shard.rejected(reason) }
        for outcome in AttemptOutcome.allCases {
            shard.attemptFinished(endpoint: endpoint, outcome: outcome, durationNs: 500_000_000)
        }
        shard.batch(pool: pool, requests: 3, rows: 7)
        shard.retried(pool: pool, 1)
        shard.bytes(.client, received: 3, sent: 4)
        shard.pluginCall(plugin: plugin, nanoseconds: 2_000)
        shard.pluginCall(plugin: plugin, nanoseconds: 1_000)
        shard.pluginFailed(plugin: plugin)
        registry.reloaded(.refused)
        let scrape = try scrape(registry)
        for kind in ParseErrorKind.allCases {
            #expect(scrape.value("sluice_parse_errors_total", ["side": "upstream", "kind": kind.label]) == 1)
            #expect(scrape.value("sluice_parse_errors_total", ["side": "client", "kind": kind.label]) == 0)
        }
        for kind in TimeoutKind.allCases { #expect(scrape.value("sluice_timeouts_total", ["kind": kind.label]) == 1) }
        for reason in RejectReason.allCases {
            #expect(scrape.value("sluice_rejected_total", ["reason": reason.label]) == 1)
        }
        let place = ["model": "m", "version": "v", "endpoint": "http://127.0.0.1:1"]
        for outcome in AttemptOutcome.allCases {
            #expect(scrape.value("sluice_attempts_total", place.merging(["outcome": outcome.label]) { $1 }) == 1)
        }
        #expect(scrape.value("sluice_attempt_duration_seconds_total", place) == 4)
        let labels = ["model": "m", "version": "v"]
        #expect(scrape.value("sluice_batch_rows_bucket", labels.merging(["le": "4"]) { $1 }) == 0)
        #expect(scrape.value("sluice_batch_rows_bucket", labels.merging(["le": "8"]) { $1 }) == 1)
        #expect(scrape.value("sluice_batch_rows_sum", labels) == 7)
        #expect(scrape.value("sluice_batched_requests_total", labels) == 3)
        #expect(scrape.value("sluice_retries_total", labels) == 1)
        #expect(scrape.value("sluice_received_bytes_total", ["side": "client"]) == 3)
        #expect(scrape.value("sluice_sent_bytes_total", ["side": "client"]) == 4)
        #expect(scrape.value("sluice_call_duration_seconds_sum", ["plugin": "p"]) == 0.000003)
        #expect(scrape.value("sluice_call_duration_seconds_count", ["plugin": "p"]) == 2)
        #expect(scrape.value("sluice_call_longest_seconds", ["plugin": "p"]) == 0.000002)
        #expect(scrape.value("sluice_call_errors_total", ["plugin": "p"]) == 1)
        #expect(scrape.value("sluice_reloads_total", ["outcome": "refused"]) == 1)
        #expect(scrape.value("sluice_reloads_total", ["outcome": "succeeded"]) == 0)
    }

    @Test func seriesKeepTheirPlaceOverGenerationsAndAreBounded() throws {
        let registry = try registry(1)
        let first = registry.pool(ModelVersionKey(model: "m0", version: "1"))
        for index in 1..<MetricLayout.poolCapacity {
            let id = registry.pool(ModelVersionKey(model: "m\(index)", version: "1"))
            #expect(id != .other && id != .none)
        }
        #expect(registry.pool(ModelVersionKey(model: "one too many", version: "1")) == .other)
        #expect(registry.pool(ModelVersionKey(model: "m0", version: "1")) == first)
        let last = registry.pool(ModelVersionKey(model: "m\(MetricLayout.poolCapacity - 1)", version: "1"))
        registry.shards[0].requestFinished(
            pool: last, adapter: .other, status: 599, durationNs: 1, firstByteNs: 0, requestBytes: 0, responseBytes: 0)
        for index in 0..<MetricLayout.pluginCapacity { _ = registry.plugin("p\(index)") }
        #expect(registry.plugin("p0") != .other)
        #expect(registry.plugin("one too many") == .other)
        let key = ModelVersionKey(model: "m0", version: "1")
        for index in 0..<MetricLayout.endpointCapacity {
            #expect(registry.endpoint(EndpointKey(pool: key, address: "\(index)")) != .other)
        }
        #expect(registry.endpoint(EndpointKey(pool: key, address: "one too many")) == .other)
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_metric_series_refused_total", [:]) == 3)
        // The last row's last cell is its own, not the next table's first.
        #expect(scrape.value("sluice_attempts_total", ["model": "other"]) == nil)
        let status = ["model": "m\(MetricLayout.poolCapacity - 1)", "version": "1", "status": "599"]
        #expect(scrape.value("sluice_requests_total", status) == 1)
    }

    @Test func namesFromOutsideAreEscaped() throws {
        let registry = try registry(1)
        let name = "a\"b\\c\nd é"
        let pool = registry.pool(ModelVersionKey(model: name, version: "\\"))
        registry.shards[0].retried(pool: pool, 1)
        #expect(try scrape(registry).value("sluice_retries_total", ["model": name, "version": "\\"]) == 1)
    }

    @Test func stateOfTheMomentIsInTheGauges() throws {
        let registry = try registry(1)
        let scrape = try PrometheusScrape(registry.prometheusText(status: .example))
        #expect(scrape.value("sluice_generation", [:]) == 8)
        #expect(scrape.value("sluice_generations_live", [:]) == 2)
        #expect(scrape.value("sluice_images", [:]) == 1)
        #expect(scrape.value("sluice_image_bytes", [:]) == 65_536)
        let sick = ["model": "iris", "version": "2", "endpoint": "unix:/run/b.sock"]
        #expect(scrape.value("sluice_endpoint_healthy", sick) == 0)
        #expect(scrape.value("sluice_endpoint_in_flight", sick) == 3)
        #expect(scrape.value("sluice_endpoint_first_byte_ewma_seconds", sick) == 0.0015)
        // This very process.
        #expect(try #require(scrape.value("process_resident_memory_bytes", [:])) > 1_000_000)
        #expect(try #require(scrape.value("process_open_fds", [:])) >= 3)
        #expect(try #require(scrape.value("process_threads", [:])) >= 1)
        #expect(try #require(scrape.value("process_max_fds", [:])) >= 3)
        #expect(try #require(scrape.value("process_cpu_seconds_total", [:])) > 0)
        #expect(try #require(scrape.value("process_start_time_seconds", [:])) > 1_600_000_000)
    }
}
