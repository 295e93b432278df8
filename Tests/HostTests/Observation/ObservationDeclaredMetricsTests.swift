import Glibc
import Synchronization
import TestThreads
import Testing

@testable import Host

/// `sluice.metrics/1`.
@Suite struct ObservationDeclaredMetrics {
    private func scrape(_ registry: MetricRegistry) throws -> PrometheusScrape {
        try PrometheusScrape(registry.prometheusText(status: nil, process: ProcessStatistics()))
    }

    @Test func pluginCountsSetsAndObserves() throws {
        let registry = try #require(MetricRegistry(workerCount: 2))
        func declare(_ kind: MetricKind, _ name: String, _ labels: [(name: String, value: String)] = []) throws
            -> UInt32
        {
            try #require(
                registry.declare(
                    plugin: "api-key", kind: kind, name: name, description: "What \(name) is.", labels: labels))
        }
        let refused = try declare(.counter, "refused", [("why", "expired \"key\""), ("a", "b")])
        let keys = try declare(.gauge, "keys")
        let size = try declare(.histogram, "size_bytes")
        for worker in 0..<2 {
            let writer = registry.writer(worker: worker)
            writer.add(metric: refused, amount: 1.5)
            writer.add(metric: refused, amount: -7)
            writer.add(metric: refused, amount: .nan)
            writer.record(metric: keys, value: 4)
            writer.add(metric: keys, amount: -1)
            writer.record(metric: size, value: 5)
            writer.record(metric: size, value: .infinity)
            writer.add(metric: size, amount: 9)
        }
        let scrape = try scrape(registry)
        let why = ["plugin": "api-key", "why": "expired \"key\"", "a": "b"]
        #expect(scrape.value("sluice_plugin_api_key_refused_total", why) == 3)
        #expect(scrape.value("sluice_plugin_api_key_keys", ["plugin": "api-key"]) == 6)
        #expect(scrape.value("sluice_plugin_api_key_size_bytes_sum", ["plugin": "api-key"]) == 10)
        #expect(scrape.value("sluice_plugin_api_key_size_bytes_count", ["plugin": "api-key"]) == 2)
        #expect(scrape.value("sluice_plugin_api_key_size_bytes_bucket", ["plugin": "api-key", "le": "4"]) == 0)
        #expect(scrape.value("sluice_plugin_api_key_size_bytes_bucket", ["plugin": "api-key", "le": "16"]) == 2)
    }

    /// What a plugin counted stays; how things stand only an instance can say that is there.
    @Test func aGaugeGoesWithTheLastOneWhoWritesIt() throws {
        let registry = try #require(MetricRegistry(workerCount: 2))
        func declare(_ kind: MetricKind, _ name: String) throws -> UInt32 {
            try #require(registry.declare(plugin: "p", kind: kind, name: name, description: "d", labels: []))
        }
        func values() throws -> [Double?] {
            let scrape = try scrape(registry)
            return ["degraded", "seen_total"].map { scrape.value("sluice_plugin_p_\($0)", ["plugin": "p"]) }
        }
        let (degraded, seen) = (try declare(.gauge, "degraded"), try declare(.counter, "seen_total"))
        registry.writer(worker: 0).record(metric: degraded, value: 1)
        registry.writer(worker: nil).add(metric: degraded, amount: 1)
        registry.writer(worker: 1).add(metric: seen, amount: 3)
        // The next generation's instance, before that of the one before it goes.
        #expect(try declare(.gauge, "degraded") == degraded)
        registry.letGo(of: degraded)
        registry.letGo(of: seen)
        #expect(try values() == [2, 3])
        #expect(registry.isDegraded(plugin: "p") && !registry.isDegraded(plugin: "q"))
        registry.letGo(of: degraded)
        #expect(try values() == [nil, 3])
        #expect(!registry.isDegraded(plugin: "p"))
        #expect(try declare(.gauge, "degraded") == degraded)
        #expect(try values() == [0, 3])
        #expect(!registry.isDegraded(plugin: "p"))
    }

    @Test func sameMetricOfALaterGenerationGoesOnCounting() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        for _ in 0..<3 {
            let metric = try #require(
                registry.declare(
                    plugin: "p", kind: .counter, name: "seen_total", description: "d",
                    labels: [("b", "2"), ("a", "1")]))
            registry.writer(worker: 0).add(metric: metric, amount: 1)
        }
        let other = try #require(
            registry.declare(
                plugin: "p", kind: .counter, name: "seen_total", description: "d", labels: [("a", "1"), ("b", "3")]))
        registry.writer(worker: 0).add(metric: other, amount: 1)
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_plugin_p_seen_total", ["plugin": "p", "a": "1", "b": "2"]) == 3)
        #expect(scrape.value("sluice_plugin_p_seen_total", ["plugin": "p", "a": "1", "b": "3"]) == 1)
    }

    /// A counter gets its suffix where it has none: by both names it is one series, not two of one name.
    @Test func aCounterIsTheSameWithItsSuffixAndWithout() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        func declare(_ kind: MetricKind, _ name: String, _ labels: [(name: String, value: String)] = []) -> UInt32? {
            registry.declare(plugin: "p", kind: kind, name: name, description: "d", labels: labels)
        }
        let plain = try #require(declare(.counter, "good"))
        #expect(declare(.counter, "good_total") == plain)
        let labelled = try #require(declare(.counter, "good_total", [("a", "1")]))
        #expect(labelled != plain && declare(.counter, "good", [("a", "1")]) == labelled)
        registry.writer(worker: 0).add(metric: plain, amount: 1)
        registry.writer(worker: 0).add(metric: labelled, amount: 2)
        // A name is of one kind, and so is what it becomes.
        for kind in [MetricKind.gauge, .histogram] {
            #expect(declare(kind, "good") == nil && declare(kind, "good", [("a", "2")]) == nil)
            #expect(declare(kind, "good_total") == nil && declare(kind, "good_total", [("a", "2")]) == nil)
        }
        let text = String(
            decoding: registry.prometheusText(status: nil, process: ProcessStatistics()), as: UTF8.self)
        let series = text.split(separator: "\n").filter { $0.hasPrefix("sluice_plugin_p_good_total{") }
        #expect(series.count == 2)
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_plugin_p_good_total", ["plugin": "p"]) == 1)
        #expect(scrape.value("sluice_plugin_p_good_total", ["plugin": "p", "a": "1"]) == 2)
    }

    @Test func whatWouldBreakTheTextIsRefused() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        func declare(
            _ plugin: String, _ kind: MetricKind, _ name: String, _ labels: [(name: String, value: String)] = []
        )
            -> UInt32?
        { registry.declare(plugin: plugin, kind: kind, name: name, description: "d", labels: labels) }
        for name in ["", "A", "a-b", "a b", "é", "a\n", String(repeating: "a", count: 129)] {
            #expect(declare("p", .counter, name) == nil, "\(name)")
        }
        for label in ["", "1a", "a-b", "plugin", "le", "__name__", "a\"", "é"] {
            #expect(declare("p", .gauge, "g", [(label, "v")]) == nil, "\(label)")
        }
        #expect(declare("p", .gauge, "g", [("a", "1"), ("a", "2")]) == nil)
        #expect(declare("p", .histogram, "h") != nil)
        #expect(declare("p", .gauge, "h") == nil)
        #expect(declare("p", .gauge, "h_sum") == nil)
        // Another plugin whose name becomes the same words.
        #expect(declare("a-b", .gauge, "c") != nil)
        #expect(declare("a_b", .counter, "c") != nil)
        #expect(declare("a.b", .histogram, "c") == nil)
        #expect(declare("a.b", .gauge, "c") != nil)
        _ = try scrape(registry)
    }

    /// Places are never given away again: names that change by reloads get to the bound, and no reload may fail there.
    @Test func metricsBeyondTheBoundAreIgnoredNotRefused() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        func declare(_ number: Int) -> UInt32? {
            registry.declare(
                plugin: "p", kind: .counter, name: "n", description: "d", labels: [("number", String(number))])
        }
        for number in 0..<MetricLayout.declaredCapacity { #expect(declare(number) != nil) }
        let beyond = try #require(declare(MetricLayout.declaredCapacity))
        registry.writer(worker: 0).add(metric: beyond, amount: 1)
        let last = try #require(declare(MetricLayout.declaredCapacity - 1))
        registry.writer(worker: 0).add(metric: last, amount: 2)
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_metric_series_refused_total", [:]) == 1)
        #expect(
            scrape.value("sluice_plugin_p_n_total", ["plugin": "p", "number": "\(MetricLayout.declaredCapacity - 1)"])
                == 2)
        #expect(scrape.value("sluice_plugin_p_n_total", ["plugin": "p", "number": "2048"]) == nil)
    }

    /// A model's name is a label's value of many plugins: up to 256 characters of 4 bytes.
    @Test func aLabelHoldsTheLongestNameOfAModel() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        let longest = String(repeating: "\u{1F600}", count: 256)
        func declare(_ value: String) -> UInt32? {
            registry.declare(plugin: "p", kind: .gauge, name: "n", description: "d", labels: [("model", value)])
        }
        #expect(declare(longest) != nil && declare(longest + "a") == nil)
    }

    /// What is beyond the bound of plugins is counted as `other`: no second series may have a plugin's own name.
    @Test func aPluginNamedOtherHasOneSeries() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        _ = registry.plugin("other")
        _ = try scrape(registry)
        let text = String(
            decoding: registry.prometheusText(status: nil, process: ProcessStatistics()), as: UTF8.self)
        let series = text.split(separator: "\n").filter { $0.hasPrefix("sluice_call_errors_total{plugin=\"other\"}") }
        #expect(series.count == 1)
    }

    @Test func handlesThatWereNeverGivenDoNoHarm() throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        let before = registry.prometheusText(status: nil, process: ProcessStatistics())
        for handle in [UInt32.max, UInt32.max - 1, UInt32(MetricLayout.declaredCapacity) << 2 | 1] {
            registry.writer(worker: 0).add(metric: handle, amount: 1)
            registry.writer(worker: nil).record(metric: handle, value: 1)
        }
        #expect(registry.prometheusText(status: nil, process: ProcessStatistics()) == before)
    }

    @Test func sharedInstanceLosesNoCountOfAnyWorker() async throws {
        let registry = try #require(MetricRegistry(workerCount: 2))
        let counter = try #require(
            registry.declare(plugin: "p", kind: .counter, name: "n", description: "d", labels: []))
        let histogram = try #require(
            registry.declare(plugin: "p", kind: .histogram, name: "h", description: "d", labels: []))
        // Threads that begin together: tasks may well run one after the other.
        final class Gate: Sendable { let waiting = Atomic<Int>(4) }
        let gate = Gate()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    await withCheckedContinuation { continuation in
                        onThread {
                            gate.waiting.wrappingSubtract(1, ordering: .acquiringAndReleasing)
                            while gate.waiting.load(ordering: .acquiring) > 0 { sched_yield() }
                            let writer = registry.writer(worker: nil)
                            for _ in 0..<100_000 {
                                writer.add(metric: counter, amount: 1)
                                writer.record(metric: histogram, value: 2)
                            }
                            continuation.resume()
                        }
                    }
                }
            }
        }
        let scrape = try scrape(registry)
        #expect(scrape.value("sluice_plugin_p_n_total", ["plugin": "p"]) == 400_000)
        #expect(scrape.value("sluice_plugin_p_h_count", ["plugin": "p"]) == 400_000)
        #expect(scrape.value("sluice_plugin_p_h_sum", ["plugin": "p"]) == 800_000)
    }

    /// One writer and a reader at the same time: what the reader sees never falls and is a valid text.
    @Test func scrapeInTheMiddleOfWritingIsConsistent() async throws {
        let registry = try #require(MetricRegistry(workerCount: 1))
        let pool = registry.pool(ModelVersionKey(model: "m", version: "1"))
        final class Flag: Sendable { let isSet = Atomic<Bool>(false) }
        let done = Flag()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for index in 0..<50_000 {
                    registry.shards[0].requestFinished(
                        pool: pool, adapter: .other, status: 200, durationNs: UInt64(index) * 1_000, firstByteNs: 1,
                        requestBytes: 1, responseBytes: 1)
                }
                done.isSet.store(true, ordering: .releasing)
            }
            group.addTask {
                var last = 0.0
                repeat {
                    let scrape = try scrape(registry)
                    let labels = ["model": "m", "version": "1", "status": "200"]
                    let count = scrape.value("sluice_requests_total", labels) ?? 0
                    #expect(count >= last)
                    last = count
                } while !done.isSet.load(ordering: .acquiring)
            }
            try await group.waitForAll()
        }
        let labels = ["model": "m", "version": "1", "status": "200"]
        #expect(try scrape(registry).value("sluice_requests_total", labels) == 50_000)
    }
}
