import Foundation
import Testing

extension EndToEnd {
    /// Plugins built outside of this tree are loaded under load, replaced by a second build under load, and taken out.
    @Suite struct ThirdPartyPlugins {
        /// Keeps a checked load on `gateway` while `work` runs.
        private func underLoad(
            _ gateway: Gateway, request: @escaping @Sendable (Int) -> String,
            check: @escaping @Sendable (Int, HTTPMessage) -> String?, _ work: (CheckingClient) throws -> Void
        ) throws {
            let client = CheckingClient(port: gateway.port, request: request, check: check)
            try waitUntil("the load has begun") { client.asked > 5 }
            try work(client)
            let before = client.asked
            try waitUntil("the load goes on") { client.asked > before + 5 }
            let wrong = try client.stop()
            #expect(wrong.isEmpty, "\(wrong.prefix(5))")
        }

        private func hangUp(
            _ gateway: Gateway, _ configuration: GatewayConfiguration, _ what: String,
            until condition: () throws -> Bool
        ) throws {
            func reloads() -> Int { gateway.log.components(separatedBy: "reloaded: generation").count }
            let before = reloads()
            try gateway.write(configuration)
            gateway.process.signal(SIGHUP)
            try waitUntil(what, .ordinary, condition)
            // One worker may have it before another, whom the next request reaches.
            try waitUntil("\(what), on all workers", .ordinary) { reloads() > before }
        }

        @Test func aBalancerByGCC() throws {
            let directory = try TemporaryDirectory()
            let backends = try ["a", "b"].map { try Reload.named($0) }
            var configuration = GatewayConfiguration.web(backends.map(\.endpoint))
            let gateway = try Gateway(configuration)
            let plain = configuration
            try underLoad(
                gateway, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" },
                check: { index, answer in answer.bodyText.hasSuffix(" /\(index)") ? nil : answer.bodyText }
            ) { _ in
                let library = directory.file("edge.so")
                configuration.plugins = ["  - { name: edge, library: \(library) }"]
                configuration.balancer = "edge"
                func ten() throws -> Set<String> { Set(try (0..<10).map { _ in try gateway.get("/x").bodyText }) }
                try CompiledPlugin.c(CompiledPlugin.balancer(build: "1", highest: true), "edge.so", in: directory)
                try hangUp(gateway, configuration, "the first build picks the last") { try ten() == ["b /x"] }
                try CompiledPlugin.c(CompiledPlugin.balancer(build: "2", highest: false), "edge.so", in: directory)
                try hangUp(gateway, configuration, "the second build picks the first") { try ten() == ["a /x"] }
                try hangUp(gateway, plain, "the shipped one picks both") { try ten() == ["a /x", "b /x"] }
            }
        }

        @Test func aRouterBySwiftcAndTheHeader() throws {
            let directory = try TemporaryDirectory()
            let backends = try ["one", "two"].map { try Reload.named($0) }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["passthrough"]
            configuration.models = [
                "  web:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backends[0].endpoint)\" ], protocol: passthrough }",
                "      \"2\": { endpoints: [ \"\(backends[1].endpoint)\" ], protocol: passthrough }",
            ]
            let gateway = try Gateway(configuration)
            let plain = configuration
            try underLoad(
                gateway, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" },
                check: { index, answer in answer.bodyText.hasSuffix(" /\(index)") ? nil : answer.bodyText }
            ) { _ in
                let library = try ThirdParty.router(to: "1", "router.so", in: directory)
                configuration.plugins = ["  - { name: acme-router, library: \(library) }"]
                configuration.router = "acme-router"
                try hangUp(gateway, configuration, "the first build") { try gateway.get("/x").bodyText == "one /x" }
                _ = try ThirdParty.router(to: "2", "router.so", in: directory)
                try hangUp(gateway, configuration, "the second build") { try gateway.get("/x").bodyText == "two /x" }
                var third = plain
                third.models[2] = third.models[2].replacingOccurrences(of: "\"1\"", with: "\"3\"")
                try hangUp(gateway, third, "the shipped one takes the latest") {
                    try gateway.get("/x").bodyText == "one /x"
                }
            }
        }

        @Test func anAdapterAsAPackageOfItsOwn() throws {
            let directory = try TemporaryDirectory()
            let repository = try ThirdParty.repository(in: directory)
            let library = try ThirdParty.adapter(build: "one", "comma.so", from: repository, in: directory)
            var configuration = Iris.configuration()
            let gateway = try Gateway(configuration)
            let plain = configuration
            let body = "{\"instances\": [[5.1, 3.5, 1.4, 0.2]]}"
            try underLoad(
                gateway,
                request: { _ in
                    "POST /v1/models/iris:predict HTTP/1.1\r\nHost: a\r\n"
                        + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
                }, check: { _, answer in answer.status == 200 ? nil : "\(answer.status) \(answer.bodyText)" }
            ) { _ in
                func ask() throws -> HTTPMessage {
                    try gateway.post("/comma/iris", "5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n", fields: [])
                }
                #expect(try ask().status == 404)
                configuration.plugins = ["  - { name: comma, library: \(library) }"]
                configuration.adapters.append("comma")
                try hangUp(gateway, configuration, "the first build") { try ask().field("x-comma-build") == "one" }
                #expect(try ask().bodyText == "0\n2\n")
                let wrong = try gateway.post("/comma/iris", "1,2,x\n", fields: [])
                #expect(wrong.status == 400)
                #expect(wrong.bodyText.hasPrefix("error: expected lines"))
                _ = try ThirdParty.adapter(build: "two", "comma.so", from: repository, in: directory)
                try hangUp(gateway, configuration, "the second build") { try ask().field("x-comma-build") == "two" }
                #expect(try ask().bodyText == "0\n2\n")
                try hangUp(gateway, plain, "it is gone") { try ask().status == 404 }
            }
        }
    }
}
