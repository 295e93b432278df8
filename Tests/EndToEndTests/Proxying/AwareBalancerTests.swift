import Foundation
import Testing

extension EndToEnd {
    /// Balancers that know more of an endpoint than what this gateway has sent it.
    @Suite struct AwareBalancers {
        /// Answers requests with its index, and says in a field and on a page how many wait there.
        private func backend(_ index: Int, waiting: Int, field: Bool) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                if request.target == "/metrics" {
                    connection.socket.send(
                        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n# TYPE vllm:num_requests_waiting gauge\n"
                            + "vllm:num_requests_waiting{model_name=\"web\"} \(waiting)\n")
                } else {
                    let asked = request.field("endpoint-load-metrics-format") ?? "none"
                    let report = "endpoint-load-metrics: TEXT named_metrics.num_requests_waiting=\(waiting)"
                    connection.answer(200, "of \(index)", fields: field ? [report, "Asked: \(asked)"] : [])
                }
            }
        }

        private func gateway(_ backends: [ScriptedBackend], _ config: String) throws -> Gateway {
            var configuration = GatewayConfiguration.web(backends.map(\.endpoint))
            configuration.plugins += [
                "  - { name: queue-aware, library: libQueueAware.so, config: \(config) }"
            ]
            configuration.balancer = "queue-aware"
            return try Gateway(configuration)
        }

        @Test func headersOfAnswersTellTheLoadOfEndpoints() throws {
            let backends = try (0..<3).map { try backend($0, waiting: 30 - 10 * $0, field: true) }
            let gateway = try gateway(backends, "{ preset: vllm, headers: { ask: text } }")
            #expect(try gateway.get("/").field("asked") == "text")
            try waitUntil("each endpoint has told its load") {
                _ = try gateway.get("/")
                return try gateway.metric("sluice_plugin_queue_aware_known_endpoints") == 3
            }
            // From then on the least loaded one serves, whichever worker asks.
            for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "of 2") }
        }

        @Test func pagesOfMetricsTellTheLoadOfEndpoints() throws {
            let backends = try (0..<3).map { try backend($0, waiting: 10 * $0, field: false) }
            let gateway = try gateway(
                backends,
                "{ preset: vllm, scrape: { interval_ms: 50, labels: { model_name: \"{model}\" } }, max_age_ms: 20000 }")
            try waitUntil("the pages are read") {
                try gateway.metric("sluice_plugin_queue_aware_known_endpoints") == 3
            }
            for _ in 0..<20 { #expect(try gateway.get("/").bodyText == "of 0") }
            // What was learned stays over a reload, also where pages cannot be had any more.
            backends[1].stop()
            backends[2].stop()
            #expect(try gateway.reload().status == 0)
            for _ in 0..<5 { #expect(try gateway.get("/").bodyText == "of 0") }
            try waitUntil("the failure is counted") {
                try gateway.metric("sluice_plugin_queue_aware_page_failures_total") > 0
            }
        }

        @Test func conversationsStayWhereTheirBeginningIs() throws {
            let backends = try (0..<3).map { index in
                try ScriptedBackend { connection, _ in
                    connection.answer(
                        200, #"{"id":"c","object":"chat.completion","model":"llama","choices":[]}"#,
                        fields: ["Content-Type: application/json", "Of: \(index)"])
                }
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["openai"]
            configuration.balancer = "prefix-aware"
            configuration.plugins = [
                "  - { name: openai, library: libOpenAI.so }",
                "  - { name: prefix-aware, library: libPrefixAware.so, config: { block_bytes: 64 } }",
            ]
            let endpoints = backends.map { "\"\($0.endpoint)\"" }.joined(separator: ", ")
            configuration.models = [
                "  llama:", "    filters: prefix-aware", "    versions:",
                "      \"1\": { endpoints: [ \(endpoints) ], protocol: openai }",
            ]
            let gateway = try Gateway(configuration)
            var homes: [String: Set<String>] = [:]
            for turn in 1...6 {
                for user in ["ada", "grace", "edsger"] {
                    let said = (0..<turn).map {
                        #"{"role":"user","content":"\#(user) says for time \#($0): hello, and how do you do?"}"#
                    }
                    let body = #"{"model":"llama","messages":[\#(said.joined(separator: ","))]}"#
                    let answer = try gateway.post("/v1/chat/completions", body)
                    #expect(answer.status == 200)
                    homes[user, default: []].insert(answer.field("of") ?? "none")
                }
            }
            for (user, places) in homes { #expect(places.count == 1, "\(user): \(places)") }
            #expect(try gateway.metric("sluice_plugin_prefix_aware_unread_picks_total") == 0)
            #expect(try gateway.metric("sluice_plugin_prefix_aware_cold_picks_total") == 3)
            #expect(try gateway.metric("sluice_plugin_prefix_aware_warm_picks_total") == 15)
            // The client's message goes on as it came.
            let sent = try #require(backends.flatMap(\.requests).first)
            #expect(text(sent.body).hasPrefix(#"{"model":"llama","messages":["#))
        }
    }
}
