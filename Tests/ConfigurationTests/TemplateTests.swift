import Configuration
import Testing

@Suite("The well-known template, as it stands")
struct TemplateTests {
    static let template = """
        gateway:
          server: {port: 8080, worker_threads: 16, max_connections: 10000}
          routing: {default_timeout_ms: 1000, retry_policy: {max_attempts: 3, backoff_ms: 100}}
          circuit_breaker: {failure_threshold: 10, reset_timeout_sec: 30}
          batching: {max_batch_size: 16, max_delay_ms: 10}
          monitoring: {metrics_port: 9090, trace_sample_rate: 0.1}
        """

    @Test func loadsAndSaysWhatItSays() throws {
        let result = read(Self.template)
        let settings = try #require(result.settings)
        #expect(settings.listeners.map(\.address) == [.tcp(host: "0.0.0.0", port: 8080)])
        #expect(settings.server.workerThreads == 16)
        #expect(settings.server.maxConnections == 10_000)
        #expect(settings.routing.defaultTimeoutMs == 1_000)
        #expect(settings.routing.retry?.maxAttempts == 3)
        #expect(settings.routing.retry?.backoffMs == 100)
        #expect(settings.circuitBreaker?.failureThreshold == 10)
        #expect(settings.circuitBreaker?.resetTimeoutSec == 30)
        #expect(settings.batching?.maxBatchSize == 16)
        #expect(settings.batching?.maxDelayMs == 10)
        #expect(settings.monitoring.metricsPort == 9_090)
        #expect(
            result.diagnostics.map(\.description) == [
                "plugins.yaml:6:36: warning: `trace_sample_rate` has no effect yet"
            ])
    }

    @Test func getsTheShippedChain() throws {
        let settings = try #require(read(Self.template).settings)
        #expect(settings.usesShippedChain)
        #expect(
            settings.plugins.map(\.name) == [
                "open-inference", "rest-predict", "by-version", "least-request", "round-robin", "size-or-delay",
                "linear-model", "access-log",
            ])
        #expect(settings.plugins.map(\.library).first == "libOpenInference.so")
        #expect(settings.pipeline.adapters.map(\.name) == ["open-inference", "rest-predict"])
        #expect(settings.pipeline.routers.map(\.name) == ["by-version"])
        #expect(settings.pipeline.balancer?.name == "least-request")
        #expect(settings.pipeline.batcher?.name == "size-or-delay")
        #expect(settings.pipeline.filters.isEmpty && settings.pipeline.observers.isEmpty)
        #expect(settings.plugins.allSatisfy { $0.position.file == ShippedChain.name })
        #expect(settings.pluginPath.isEmpty)
    }

    @Test func theShippedChainIsAFileLikeAnyOther() throws {
        let result = read(ShippedChain.yaml)
        let settings = try #require(result.settings)
        #expect(result.diagnostics.isEmpty)
        #expect(!settings.usesShippedChain)
        #expect(settings.plugins.count == 8)
    }

    @Test("A file that names one of the two gets nothing of the shipped chain", arguments: ["plugins", "pipeline"])
    func ownChain(key: String) throws {
        let empty = ["plugins": "plugins: []", "pipeline": "pipeline: {adapters: []}"]
        let settings = try #require(read(empty[key] ?? "").settings)
        #expect(settings.plugins.isEmpty && settings.pipeline.adapters.isEmpty)
    }
}
