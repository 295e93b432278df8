import Testing

extension EndToEnd {
    /// The version that an endpoint is asked for: its own name of it, whatever the client called it.
    @Suite struct VersionNames {
        /// Two versions of `mls` and a label for the first one.
        private static func configuration(
            _ backends: [ScriptedBackend], protocol adapter: String = "open-inference", router: String = "by-version"
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.router = router
            configuration.models = ["  mls:", "    labels: { stable: \"1\" }", "    versions:"]
            for (index, backend) in backends.enumerated() {
                let endpoint = adapter == "grpc" ? backend.grpcEndpoint : backend.endpoint
                configuration.models.append(
                    "      \"\(index + 1)\": { endpoints: [ \"\(endpoint)\" ], "
                        + "protocol: \(adapter == "grpc" ? "open-inference" : adapter) }")
            }
            return configuration
        }

        private static func ordinary() throws -> [ScriptedBackend] {
            try [ScriptedBackend.ordinary(), ScriptedBackend.ordinary()]
        }

        @Test(
            arguments: [
                ("GET", "stable/ready", 0, "versions/1/ready"), ("GET", "latest/ready", 1, "versions/2/ready"),
                ("GET", "stable", 0, "versions/1"), ("POST", "stable/infer", 0, "versions/1/infer"),
                ("POST", "latest/infer?a=b", 1, "versions/2/infer?a=b"),
                ("GET", "latest/stats?c", 1, "versions/2/stats?c"), ("GET", "1/config", 0, "versions/1/config"),
                ("POST", "2/infer", 1, "versions/2/infer"),
            ] as [(String, String, Int, String)])
        func pathsOfTheOpenInferenceProtocolNameTheVersion(
            _ method: String, _ asked: String, _ version: Int, _ wanted: String
        ) throws {
            let backends = try Self.ordinary()
            let gateway = try Gateway(Self.configuration(backends))
            let answer = try gateway.exchange(
                "\(method) /v2/models/mls/versions/\(asked) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            #expect(answer.status == 200)
            #expect(backends[version].requests.map(\.target) == ["/v2/models/mls/\(wanted)"])
        }

        @Test func pathsOfPredictNameTheVersion() throws {
            let backends = try Self.ordinary()
            let gateway = try Gateway(Self.configuration(backends, protocol: "rest-predict"))
            for asked in ["labels/stable:predict", "versions/latest:predict", "versions/1:predict"] {
                #expect(try gateway.post("/v1/models/mls/\(asked)", "{\"instances\":[1]}").status == 200)
            }
            let first = backends[0].requests.map(\.target)
            #expect(first == Array(repeating: "/v1/models/mls/versions/1:predict", count: 2))
            #expect(backends[1].requests.map(\.target) == ["/v1/models/mls/versions/2:predict"])
        }

        /// Who asks for no version leaves it to the endpoint.
        @Test func noVersionStaysNone() throws {
            let backends = try Self.ordinary()
            let gateway = try Gateway(Self.configuration(backends))
            #expect(try gateway.get("/v2/models/mls/ready").status == 200)
            #expect(backends[1].requests.map(\.target) == ["/v2/models/mls/ready"])
        }

        @Test func callsNameTheVersion() throws {
            let model: [UInt8] = [0x0A, 3] + Array("mls".utf8)
            let wanted = [0, 0, 0, 0, 8] + model + [0x12, 1] + Array("1".utf8)
            // OK to a message with that name and version, INVALID_ARGUMENT to others.
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    let status = peer.answers[stream]?.body == wanted ? "0" : "3"
                    peer.answerCall(stream, [0, 0, 0, 0, 0], trailers: [("grpc-status", status)])
                }
            }
            let gateway = try Gateway(Self.configuration([backend], protocol: "grpc"))
            for name in ["stable", "latest", "1"] {
                let answer = try gateway.call(
                    "/inference.GRPCInferenceService/ModelInfer", fields: [],
                    message: model + [0x12, UInt8(name.utf8.count)] + Array(name.utf8))
                #expect(answer.grpcStatus == "0", "\(name): \(answer.grpcMessage ?? "")")
            }
        }

        /// Another version than the one asked for, as a rule has decided.
        @Test func aMovedRequestNamesItsNewVersion() throws {
            let backends = try Self.ordinary()
            var configuration = Self.configuration(backends, router: "[ content-based, by-version ]")
            configuration.plugins = [
                "  - name: content-based", "    library: libContentBased.so", "    config:", "      rules:",
                "        - { when: 'header(\"x-new\") == \"1\"', then: { model: mls, version: \"2\" } }",
            ]
            let gateway = try Gateway(configuration)
            for path in ["/versions/1/config", "/versions/stable/ready", "/config"] {
                #expect(try gateway.get("/v2/models/mls\(path)", fields: ["X-New: 1"]).status == 200)
            }
            #expect(
                backends[1].requests.map(\.target) == [
                    "/v2/models/mls/versions/2/config", "/v2/models/mls/versions/2/ready", "/v2/models/mls/config",
                ])
            #expect(backends[0].requests.isEmpty)
        }

        @Test func aFallbackNamesItsVersion() throws {
            let dead = try Ports.refusing()
            let well = try ScriptedBackend.ordinary()
            var configuration = Self.configuration([])
            configuration.models += [
                "      \"1\": { endpoints: [ \"http://127.0.0.1:\(dead)\" ], protocol: open-inference }",
                "      \"2\": { endpoints: [ \"\(well.endpoint)\" ], protocol: open-inference }",
                "    fallback: { version: \"2\" }",
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/v2/models/mls/versions/1/config").field("x-sluice-fallback") == "mls/2")
            #expect(try gateway.get("/v2/models/mls/versions/stable/config").status == 200)
            #expect(well.requests.map(\.target) == Array(repeating: "/v2/models/mls/versions/2/config", count: 2))
        }

        @Test func aCopyNamesItsVersion() throws {
            let backends = try Self.ordinary()
            var configuration = Self.configuration(backends, router: "[ by-version, shadow ]")
            configuration.plugins = [
                "  - name: shadow", "    library: libShadow.so", "    config:",
                "      shadows: [ { name: s, model: mls, to: { version: \"2\" } } ]",
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/v2/models/mls/versions/stable/config").status == 200)
            try waitUntil("the copy came") { !backends[1].requests.isEmpty }
            #expect(backends[0].requests.map(\.target) == ["/v2/models/mls/versions/1/config"])
            #expect(backends[1].requests.map(\.target) == ["/v2/models/mls/versions/2/config"])
        }
    }
}
