import Foundation
import Testing

extension EndToEnd {
    /// Breakers, checks, ejections and fallbacks on the running gateway.
    @Suite struct Breakers {
        /// Answers 500 while `isIll`.
        final class Patient: @unchecked Sendable {
            private let lock = NSLock()
            private var ill = true
            var isIll: Bool {
                get { lock.withLock { ill } }
                set { lock.withLock { ill = newValue } }
            }
            func backend() throws -> ScriptedBackend {
                try ScriptedBackend { connection, _ in
                    connection.answer(self.isIll ? 500 : 200, self.isIll ? "ill" : "well")
                }
            }
        }

        private func web(_ endpoints: [String], gateway: [String] = [], model: [String] = []) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(endpoints)
            configuration.balancer = "round-robin"
            configuration.gateway = gateway
            configuration.models += model
            return configuration
        }

        private func status(_ gateway: Gateway) throws -> String {
            try Gateway.command(["status", "--socket", gateway.directory.file("admin.sock")]).output
        }

        @Test func itOpensProbesAndCloses() throws {
            let patient = Patient()
            let backend = try patient.backend()
            let gateway = try Gateway(
                web(
                    [backend.endpoint],
                    gateway: ["  circuit_breaker: { failure_threshold: 3, reset_timeout_sec: 0.2, jitter_percent: 0 }"])
            )
            for _ in 0..<3 { #expect(try gateway.get("/").status == 500) }
            let refused = try gateway.get("/")
            #expect(refused.status == 503)
            #expect(refused.field("retry-after") != nil)
            #expect(backend.requests.count == 3)
            #expect(try gateway.metric("sluice_breaker_opened_total", ["model=\"web\""]) == 1)
            #expect(try status(gateway).contains("breaker open"))
            // A probe that fails opens it again; it never lets more than that one through.
            let before = backend.requests.count
            try waitUntil("a probe") { try gateway.get("/").status == 500 }
            #expect(backend.requests.count == before + 1)
            patient.isIll = false
            try waitUntil("recovery") { try gateway.get("/").status == 200 }
            for _ in 0..<10 { #expect(try gateway.get("/").status == 200) }
            #expect(try gateway.metric("sluice_breaker_state", ["model=\"web\""]) == 0)
        }

        /// A stream that is reset on a connection which lives on is a failure like any other, and no race with the
        /// connection's end: the breaker counts it, and nobody sends the request again without being told to.
        @Test func resetStreamsOnALivingConnectionCount() throws {
            let asked = Counter()
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    // INTERNAL_ERROR (RFC 9113 §7), but for the first.
                    if asked.increment() == 1 {
                        peer.respond(stream)
                    } else {
                        peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(2)))
                    }
                }
            }
            var configuration = web(
                [backend.grpcEndpoint],
                gateway: ["  circuit_breaker: { failure_threshold: 3, reset_timeout_sec: 600, jitter_percent: 0 }"])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 200)
            for _ in 0..<3 { #expect(try gateway.get("/").status == 502) }
            #expect(try gateway.get("/").status == 503)
            #expect(asked.value == 4)
            #expect(backend.connectionCount == 1)
        }

        @Test func itOutlivesAReload() throws {
            let backend = try Patient().backend()
            let configuration = web(
                [backend.endpoint], gateway: ["  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600 }"])
            let gateway = try Gateway(configuration)
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            #expect(try gateway.reload().status == 0)
            #expect(try gateway.get("/").status == 503)
            #expect(backend.requests.count == 2)
        }

        @Test func anIllEndpointIsLeftToOthers() throws {
            let ill = try Patient().backend()
            let well = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                web(
                    [ill.endpoint, well.endpoint],
                    gateway: ["  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 600 }"]))
            for _ in 0..<40 { _ = try gateway.get("/") }
            #expect(ill.requests.count == 2)
            #expect(well.requests.count == 38)
        }

        @Test func theModelsOwnRefusesAtOnce() throws {
            let backend = try Patient().backend()
            let gateway = try Gateway(
                web(
                    [backend.endpoint],
                    gateway: ["  circuit_breaker: { scope: model, failure_threshold: 2, reset_timeout_sec: 600 }"]))
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            let refused = try gateway.get("/")
            #expect(refused.status == 503)
            #expect(refused.bodyText.contains("circuit breaker"))
            #expect(Int(refused.field("retry-after") ?? "") ?? 0 > 500)
            #expect(backend.requests.count == 2)
        }

        /// What is served in the gateway itself has none, whatever holds for all models.
        @Test func aModelInTheGatewayShowsNone() throws {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  circuit_breaker: { scope: both }"]
            configuration.models = ["  iris: { versions: { \"1\": { backend: linear-model } } }"]
            let gateway = try Gateway(configuration)
            #expect(try !gateway.metrics().contains("sluice_breaker_state{"))
        }

        /// A discovery takes it out of its pool and puts it back.
        @Test func aProbeOfOneThatLeavesGivesItsPlaceBack() throws {
            let patient = Patient()
            let ends = Gate()
            let backend = try ScriptedBackend { connection, request in
                if request.target == "/held", !patient.isIll { _ = ends.wait() }
                connection.answer(patient.isIll ? 500 : 200)
            }
            defer { ends.open() }
            let files = try TemporaryDirectory()
            let file = try files.write("endpoints.json", "[ \"\(backend.endpoint)\" ]")
            let gateway = try Gateway(
                {
                    var made = web(
                        [],
                        gateway: ["  circuit_breaker: { failure_threshold: 2, reset_timeout_sec: 0.05 }"])
                    let source = "plugin: files, when_empty: empty, config: { path: \(file) }"
                    made.plugins = ["  - { name: files, library: libFileDiscovery.so }"]
                    made.models = [
                        "  web:", "    versions: { \"1\": { discovery: { \(source) }, protocol: passthrough } }",
                    ]
                    return made
                }())
            for _ in 0..<2 { #expect(try gateway.get("/").status == 500) }
            patient.isIll = false
            // All but the probe are refused; its client must not leave.
            var readers: [MessageReader] = []
            try waitUntil("a probe is under way") {
                readers.append(MessageReader(try gateway.connect()))
                readers.last?.socket.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
                return backend.requests.contains { $0.target == "/held" }
            }
            func put(_ list: String, _ count: Double) throws {
                try files.write("endpoints.json", list)
                try waitUntil("it is seen") { try gateway.metric("sluice_discovery_endpoints") == count }
            }
            try put("[]", 0)
            ends.open()
            for reader in readers { _ = try reader.response() }
            try put("[ \"\(backend.endpoint)\" ]", 1)
            try waitUntil("it is asked again") { try gateway.get("/").status == 200 }
        }

        @Test func whatCountsCanBeSaid() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(404) }
            let keys = "failure_threshold: 2, reset_timeout_sec: 600, failures: { statuses: [404] }"
            let gateway = try Gateway(web([backend.endpoint], gateway: ["  circuit_breaker: { \(keys) }"]))
            for _ in 0..<2 { #expect(try gateway.get("/").status == 404) }
            #expect(try gateway.get("/").status == 503)
        }

        @Test func failuresInARowEjectOneOfTwo() throws {
            let ill = try Patient().backend()
            let well = try ScriptedBackend.ordinary()
            let keys = "consecutive_errors: 3, base_ejection_ms: 600000, max_ejection_ms: 600000"
            let gateway = try Gateway(
                web(
                    [ill.endpoint, well.endpoint],
                    gateway: ["  outlier_detection: { \(keys) }"]))
            try waitUntil("the ejection") {
                _ = try gateway.get("/")
                return try gateway.metric("sluice_ejections_total", ["model=\"web\""]) == 1
            }
            let before = ill.requests.count
            for _ in 0..<20 { #expect(try gateway.get("/").status == 200) }
            #expect(ill.requests.count == before)
            #expect(try status(gateway).contains("ejected"))
        }

        @Test func checksTakeAnEndpointOutAndPutItBack() throws {
            let patient = Patient()
            patient.isIll = false
            let backend = try patient.backend()
            let other = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                web(
                    [backend.endpoint, other.endpoint],
                    model: ["    health_check: { path: /ready, interval_ms: 20, unhealthy_after: 2, healthy_after: 2 }"]
                ))
            try waitUntil("a check") { backend.requests.contains { $0.target == "/ready" } }
            patient.isIll = true
            try waitUntil("it is out") {
                try gateway.metric("sluice_endpoint_healthy", ["\(backend.port)"]) == 0
            }
            for _ in 0..<20 { #expect(try gateway.get("/").status == 200) }
            patient.isIll = false
            try waitUntil("it is back") {
                try gateway.metric("sluice_endpoint_healthy", ["\(backend.port)"]) == 1
            }
            try waitUntil("it is asked") {
                _ = try gateway.get("/")
                return backend.requests.contains { $0.target == "/" }
            }
            #expect(try gateway.metric("sluice_health_checks_failed_total", ["model=\"web\""]) >= 2)
            // A check is no request: nothing of it is in the figures of the model.
            #expect(try gateway.metric("sluice_requests_total", ["status=\"500\""]) == 0)
        }

        @Test func aConnectionIsEnoughForTCP() throws {
            let dead = try Ports.refusing()
            let well = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                web(
                    ["http://127.0.0.1:\(dead)", well.endpoint],
                    model: ["    health_check: { type: tcp, interval_ms: 20, unhealthy_after: 1 }"]))
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy", ["\(dead)"]) == 0 }
            for _ in 0..<10 { #expect(try gateway.get("/").status == 200) }
        }

        @Test func readinessIsAskedInThePoolsProtocol() throws {
            let patient = Patient()
            let backend = try ScriptedBackend { connection, request in
                let isReady = request.target.hasPrefix("/v2/models/m/") && request.target.hasSuffix("/ready")
                connection.answer(isReady && !patient.isIll ? 200 : 503, "{}")
            }
            patient.isIll = false
            var configuration = web([backend.endpoint])
            configuration.models = [
                "  m:", "    versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference } }",
                "    health_check: { type: ready, interval_ms: 20, unhealthy_after: 1, healthy_after: 1 }",
            ]
            configuration.adapters = ["open-inference"]
            let gateway = try Gateway(configuration)
            try waitUntil("a check") { try gateway.metric("sluice_health_checks_total", ["model=\"m\""]) > 0 }
            #expect(try gateway.metric("sluice_endpoint_healthy") == 1)
            patient.isIll = true
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy") == 0 }
            patient.isIll = false
            try waitUntil("it is back") { try gateway.metric("sluice_endpoint_healthy") == 1 }
        }

        @Test func allDeadIsAFastErrorAndThenRecovery() throws {
            let backend = try ScriptedBackend.ordinary()
            let port = backend.port
            let gateway = try Gateway(
                web(
                    [backend.endpoint],
                    model: ["    health_check: { path: /, interval_ms: 20, unhealthy_after: 1, healthy_after: 1 }"]))
            #expect(try gateway.get("/").status == 200)
            backend.stop()
            try waitUntil("it is out") { try gateway.metric("sluice_endpoint_healthy") == 0 }
            #expect(try gateway.get("/").status == 503)
            let second = try ScriptedBackend.ordinary(port: port)
            defer { second.stop() }
            try waitUntil("recovery") { try gateway.get("/").status == 200 }
        }

        @Test func theGatewayStopsWhileItChecks() throws {
            let gate = Gate()
            let silent = try ScriptedBackend { _ in gate.wait() }
            defer { gate.open() }
            let gateway = try Gateway(
                web([silent.endpoint], model: ["    health_check: { interval_ms: 10, timeout_ms: 600000 }"]))
            try waitUntil("a check") { silent.connectionCount > 0 }
            #expect(try gateway.stop() == 0)
        }
    }
}
