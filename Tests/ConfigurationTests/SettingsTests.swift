import Configuration
import Testing

@Suite("Settings that a file makes")
struct SettingsTests {
    private func everyKey() throws -> Settings {
        let text = try Repository.read("Tests/ConfigurationTests/Corpus/good/every-key.yaml")
        return try #require(read(text, environment: CorpusTests.environment).settings)
    }

    /// Whoever has broken the file still finds the gateway that runs.
    @Test(arguments: [
        ("gateway: { admin: { socket: /run/s }, sever: { port: 1 } }", "/run/s"),
        ("gateway: { admin: { socket: /run/s }, limits: { body_bytes: \"${NOT_SET_HERE}\" } }", "/run/s"),
        ("gateway: { sever: { port: 1 } }", "/etc/sluice/run/sluice.sock"),
        ("nothing: 1", "/etc/sluice/run/sluice.sock"),
        ("gateway: { admin: { socket: \"${NOT_SET_HERE}\" } }", nil),
        ("gateway: { admin: { socket: [ 1 ] } }", nil), ("gateway: { admin: 7 }", nil), ("gateway: 7", nil), ("{", nil),
    ])
    func theAdminSocketOfABrokenFile(text: String, socket: String?) throws {
        let result = read(text, environment: [:])
        #expect(result.settings == nil && result.adminSocket == socket, "\(text)")
    }

    @Test func theGateway() throws {
        let settings = try everyKey()
        #expect(
            settings.listeners.map(\.address) == [
                .tcp(host: "0.0.0.0", port: 8080), .tcp(host: "127.0.0.1", port: 8443), .tcp(host: "::1", port: 8443),
                .unix(path: "/etc/sluice/run/gateway.sock"),
            ])
        #expect(settings.listeners[1].position == Position(file: "plugins.yaml", line: 5, column: 16))
        #expect(settings.server.workerThreads == nil)
        #expect(settings.server.cpuAffinity == .cores([0, 1, 2, 3]))
        #expect(settings.limits.headerCount == 128)
        #expect(settings.limits.idleTimeoutMs == 75_000)
        #expect(settings.routing.connectTimeoutMs == 250)
        #expect(settings.routing.retry?.perTryTimeoutMs == 400)
        #expect(settings.queue.whenFull == .dropOldest)
        #expect(settings.batching?.maxDelayMs == 2.5)
        #expect(settings.admin.socket == "/etc/sluice/run/sluice.sock")
        #expect(settings.monitoring.metricsAddress == "::1")
        #expect(settings.monitoring.slowRequestMs == 500)
        #expect(settings.monitoring.logLevel == "debug")
        #expect(settings.monitoring.logFormat == .json)
        #expect(settings.reload.drainTimeoutMs == 5_000)
        #expect(settings.pluginPath == ["/etc/sluice/.build/release", "/usr/lib/sluice/plugins"])
    }

    @Test func pluginsAndThePipeline() throws {
        let settings = try everyKey()
        let plugins = Dictionary(uniqueKeysWithValues: settings.plugins.map { ($0.name, $0) })
        #expect(plugins["open-inference"]?.library == "libOpenInference.so", "searched in plugin_path")
        #expect(plugins["canary"]?.library == "/etc/sluice/libCanary.so", "a path beside the file")
        #expect(plugins["acme-queue-aware"]?.library == "/opt/acme/libqueueaware.so")
        #expect(plugins["acme-queue-aware"]?.allowGroupWritable == true)
        #expect(plugins["canary"]?.allowGroupWritable == false)
        #expect(plugins["least-request"]?.sha256?.count == 32)
        #expect(plugins["least-request"]?.sha256?.prefix(2) == [0x0F, 0x3A])
        #expect(plugins["canary"]?.sha256 == nil)
        #expect(plugins["api-key"]?.config["keys"]?[0]?.text == "s3cr3t")
        #expect(plugins["by-version"]?.config.isNull == true)
        #expect(settings.pipeline.adapters.map(\.name) == ["open-inference", "passthrough"])
        #expect(settings.pipeline.routers.map(\.name) == ["canary", "by-version"])
        #expect(settings.pipeline.observers.map(\.name) == ["access-log"], "one name stands for a list of it")
        #expect(settings.pipeline.batcher?.name == "size-or-delay")
    }

    @Test func models() throws {
        let settings = try everyKey()
        #expect(settings.models.map(\.name) == ["iris", "web", "iris-small"])
        let iris = settings.models[0]
        let second = try #require(iris.versions.last)
        #expect(iris.versions.map(\.version) == ["1", "2"])
        #expect(iris.versions.map(\.weight) == [90, 10])
        #expect(
            second.endpoints.map(\.target) == [
                .tcp(host: "::1", port: 8091), .tcp(host: "model.example", port: 8092),
                .tcp(host: "model.example", port: 80), .unix(path: "/etc/sluice/run/iris.sock"),
            ])
        #expect(second.endpoints.allSatisfy { $0.scheme == .http })
        #expect(second.maxConnections == 64)
        #expect(second.upstreamModel == "iris_v3" && second.upstreamVersion == "7")
        #expect(iris.labels.map(\.label) == ["stable", "next"] && iris.labels.map(\.version) == ["1", "2"])
        #expect(iris.timeoutMs == 500)
        #expect(iris.batching?.maxBatchSize == 32)
        #expect(iris.queue?.maxSize == 100 && iris.queue?.whenFull == .dropLowest)
        #expect(iris.healthCheck?.path == "/v2/health/ready")
        #expect(iris.retry?.maxAttempts == 2 && iris.circuitBreaker?.failureThreshold == 5)
        let small = try #require(settings.models.last?.versions.first)
        #expect(small.backend?.name == "linear-model" && small.endpoints.isEmpty && small.protocolAdapter == nil)
        #expect(small.backendConfig["weights"]?.text == "iris.bin")
    }

    @Test("A model takes the pipeline's link, replaces it, or takes it out")
    func overrides() throws {
        let models = try everyKey().models
        #expect(models[0].filters?.map(\.name) == ["api-key"])
        #expect(models[0].routers?.map(\.name) == ["by-version"])
        #expect(models[0].balancer??.name == "acme-queue-aware")
        #expect(models[0].batcher == .some(nil), "null takes it out")
        #expect(models[1].filters?.isEmpty == true)
        #expect(models[1].balancer == .some(nil), "so does an empty list")
        #expect(models[1].batcher == nil && models[1].routers == nil, "absent: the pipeline's")
    }

    @Test func aVersionSpeaksTheOnlyAdapter() throws {
        let text = """
            plugins: [{name: passthrough, library: libPassthrough.so}]
            pipeline: {adapters: passthrough}
            models:
              web: {versions: {1: {endpoints: ["http://127.0.0.1:3000"]}}}
            """
        let version = try #require(read(text).settings?.models.first?.versions.first)
        #expect(version.version == "1")
        #expect(version.protocolAdapter?.name == "passthrough")
    }

    /// How many adapters there are is not known where one of them was refused: one mistake is one error.
    @Test func aMisspeltAdapterIsOneError() {
        let found = complaints(
            """
            plugins: [{name: passthrough, library: libPassthrough.so}]
            pipeline: {adapters: passthrogh}
            models:
              web: {versions: {1: {endpoints: ["http://127.0.0.1:3000"]}}}
            """)
        #expect(found.count == 1 && found[0].contains("did you mean `passthrough`?"), "\(found)")
    }

    @Test func oneSocketInOtherWordsIsOneSocket() throws {
        func settings(_ path: String) throws -> Settings {
            let text = "gateway: {admin: {socket: \(path)}, listeners: [{address: \"unix:\(path).http\"}]}\n"
            return try #require(read(text).settings)
        }
        for path in ["run/a.sock", "./run/a.sock", ".//run/./a.sock", "/etc//sluice/run/a.sock"] {
            let settings = try settings(path)
            #expect(settings.admin.socket == "/etc/sluice/run/a.sock", "\(path)")
            #expect(settings.listeners.map(\.address) == [.unix(path: "/etc/sluice/run/a.sock.http")], "\(path)")
        }
        // What `..` leaves may be a link.
        #expect(try settings("run/../a.sock").admin.socket == "/etc/sluice/run/../a.sock")
    }

    @Test("What is not configured is off, and the rest has the documented default")
    func defaults() throws {
        let settings = try #require(read("gateway: {}\n").settings)
        #expect(settings.listeners.map(\.address) == [.tcp(host: "0.0.0.0", port: 8080)])
        #expect(settings.batching == nil && settings.circuitBreaker == nil && settings.routing.retry == nil)
        #expect(settings.monitoring.metricsPort == nil && settings.monitoring.slowRequestMs == nil)
        #expect(settings.admin.socket == "/etc/sluice/run/sluice.sock")
        #expect(settings.queue.whenFull == .reject && settings.server.cpuAffinity == .off)
    }

    @Test(
        "Which listeners a file gets",
        arguments: [
            ("{server: {port: 0}}", ["0.0.0.0:0"]),
            ("{server: {worker_threads: 2}}", ["0.0.0.0:8080"]),
            ("{listeners: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}]}", ["127.0.0.1:0", "127.0.0.1:0"]),
            ("{server: {worker_threads: 2}, listeners: [{address: \"[::]:81\"}]}", ["[::]:81"]),
        ])
    func listeners(gateway: String, expected: [String]) throws {
        let listeners = try #require(read("gateway: \(gateway)\n").settings).listeners
        #expect(listeners.map(\.address.text) == expected)
    }

    @Test func aSocketPathThatTheKernelCannotTake() {
        let long = "/" + String(repeating: "d", count: 100)
        let result = ConfigurationReader(environment: [:])
            .read(text: Array("gateway: {}\n".utf8), name: "c.yaml", directory: long)
        #expect(result.settings == nil)
        #expect(result.diagnostics.first?.message.contains("set `gateway.admin.socket` to a shorter one") == true)
        let text = """
            gateway:
              admin: {socket: \(long)/s.sock}
              listeners: [{address: "unix:\(long)/l.sock"}]
            models: {m: {versions: {1: {endpoints: ["unix:\(long)/e.sock"], protocol: open-inference}}}}
            """
        #expect(complaints(text).count { $0.contains("at most 107 bytes") } == 3)
    }

    @Test func endpointsMayHaveAWeightAndAZone() throws {
        let text = """
            gateway:
              zone: a
              instance: 2
              subset: {size: 4}
              slow_start: {window_ms: 500}
              routing: {hedge: {percentile: 99}}
            plugins: [{name: web, library: libWeb.so}]
            pipeline: {adapters: [web]}
            models:
              m:
                versions: {1: {endpoints: [{address: "http://h:1", weight: 3, zone: a}, "http://h:2"], protocol: web}}
                slow_start: {window_ms: 0}
                hedge: {delay_ms: 2.5}
            """
        let settings = try #require(read(text).settings)
        let model = settings.models[0]
        #expect(model.versions[0].endpoints.map(\.weight) == [3, 1])
        #expect(model.versions[0].endpoints.map(\.zone) == ["a", ""])
        #expect(settings.zone == "a" && settings.instance == 2)
        let selection = model.selection.or(settings.selection)
        #expect(selection.slowStart?.windowMs == 0)
        #expect(selection.subset?.size == 4)
        #expect(selection.zonePreference == nil)
        #expect(settings.routing.hedge?.percentile == 99 && settings.routing.hedge?.delayMs == nil)
        #expect(model.hedge?.delayMs == 2.5)
    }
}
