import Testing

extension EndToEnd {
    /// Fields that filters set and take out, of answers that a cache has kept.
    @Suite struct KeptAnswerFields {
        private static func entry(_ name: String) -> String {
            "  - { name: \(name), library: libHeaders.so, config: { response: { remove: [ x-secret-\(name) ], "
                + "set: { x-last: \(name), x-says-\(name): $(model)/$(status) }, append: { x-all: \(name) }, "
                + "rename: { x-old-\(name): x-new-\(name) } } } }"
        }

        /// Of the gateway, and of the model before and behind the cache: an answer out of the cache is what it was.
        @Test func anAnswerIsTheSameOutOfTheCache() throws {
            let names = ["outer", "before", "behind"]
            let backend = try ScriptedBackend { connection, _ in
                let own = names.flatMap { ["X-Secret-\($0): 1", "X-Old-\($0): 1"] }
                connection.answer(200, "it", fields: own + ["X-Last: endpoint", "X-All: endpoint"])
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins =
                names.map(Self.entry) + ["  - { name: cache, library: libCache.so, config: { operations: [ other ] } }"]
            configuration.filters = ["outer"]
            configuration.models.append("    filters: [ before, cache, behind ]")
            let gateway = try Gateway(configuration)
            var seen: [[String]] = []
            for status in ["sluice; fwd=miss; stored", "sluice; hit", "sluice; hit"] {
                let answer = try gateway.get("/a")
                #expect(answer.field("cache-status") == status)
                #expect(answer.field("x-last") == "behind")
                for name in names {
                    #expect(answer.field("x-secret-\(name)") == nil, "\(status) \(name)")
                    #expect(answer.field("x-new-\(name)") == "1" && answer.field("x-old-\(name)") == nil)
                    #expect(answer.field("x-says-\(name)") == "web/200")
                }
                seen.append(answer.fields.filter { $0.name.lowercased() == "x-all" }.map(\.value).sorted())
            }
            #expect(seen == Array(repeating: ["before", "behind", "endpoint", "outer"], count: 3))
            #expect(backend.requests.count == 1)
        }

        /// A filter behind the cache has its turn of the answer first, whoever gives that.
        @Test func aFilterBehindTheCacheLeavesWhatItSays() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(200, "it", fields: ["Age: 5", "Cache-Status: endpoint; hit"])
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins = [
                "  - { name: cache, library: libCache.so, config: { operations: [ other ] } }",
                "  - name: headers", "    library: libHeaders.so",
                "    config: { response: { remove: [ age, cache-status ] } }",
            ]
            configuration.models.append("    filters: [ cache, headers ]")
            let gateway = try Gateway(configuration)
            func said(_ fields: [String] = []) throws -> [String] {
                let answer = try gateway.get("/a", fields: fields)
                return answer.fields.filter { ["age", "cache-status"].contains($0.name.lowercased()) }.map(\.value)
            }
            #expect(try said() == ["sluice; fwd=miss; stored"])
            // It was five seconds old when it came.
            let kept = try said()
            #expect(kept.count == 2 && kept.last == "sluice; hit")
            #expect(kept.first.flatMap { Int($0) }.map { $0 >= 5 } == true)
            #expect(try said(["Range: bytes=0-1"]) == ["sluice; fwd=bypass"])
        }
    }
}
