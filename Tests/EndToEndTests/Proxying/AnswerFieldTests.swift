import Testing

extension EndToEnd {
    /// Fields that a gateway takes away from an answer, whatever way that takes.
    @Suite struct AnswerFields {
        /// Answers with its fields, and to `/plain` without them.
        private static func backend(_ fields: String...) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                connection.answer(200, "answer", fields: request.target == "/plain" ? [] : fields)
            }
        }

        /// Each way that an answer takes: streamed; gathered for the cache; out of that.
        private static func gateway(_ backend: ScriptedBackend, cache: Bool, filters: [String] = []) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins = [
                "  - { name: cache, library: libCache.so, config: { operations: [ other ] } }",
            ]
            configuration.filters = filters
            if cache { configuration.models.append("    filters: [ cache ]") }
            return try Gateway(configuration)
        }

        @Test(arguments: [false, true]) func whatTheEndpointNominatesEndsHere(cache: Bool) throws {
            let backend = try Self.backend("Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-End: 2")
            let gateway = try Self.gateway(backend, cache: cache)
            for _ in 0..<2 {
                let answer = try gateway.get("/")
                #expect(answer.bodyText == "answer" && answer.field("x-end") == "2")
                #expect(answer.field("x-hop") == nil && answer.field("keep-alive") == nil)
                #expect(answer.field("connection") == "close")
            }
            #expect(backend.requests.count == (cache ? 1 : 2))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.field("x-end") == "2" && answer.field("x-hop") == nil && answer.field("connection") == nil)
        }
    }
}
