import Testing

extension EndToEnd {
    /// A path that is served with another method than the request's (RFC 9110 §15.5.6).
    @Suite struct ServedMethods {
        private static func configuration(_ adapters: [String], routes: String = "[]") throws -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = adapters
            configuration.plugins = ["  - { name: openai, library: libOpenAI.so }"]
            configuration.models = ["  iris:", "    versions:", "      \"1\": { backend: linear-model }"]
            configuration.routes = routes
            return configuration
        }

        private func ask(_ gateway: Gateway, _ method: String, _ path: String) throws -> HTTPMessage {
            try gateway.exchange(
                "\(method) \(path) HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", method: method)
        }

        private static let reading = "OPTIONS, GET, HEAD"
        private static let asking = "OPTIONS, POST"

        @Test(
            arguments: [
                ("POST", "/v2/health/ready", reading), ("PUT", "/v2/models/iris", reading),
                ("DELETE", "/v2/models/iris/versions/1?a=b", reading), ("POST", "/v2/models/iris/ready", reading),
                ("PATCH", "/v2/models/iris/versions/1/ready", reading), ("TRACE", "/v2/health/live", reading),
                ("PURGE", "/v2", reading), ("POST", "/v1/models/iris", reading),
                ("POST", "/v1/models/iris/versions/1/metadata", reading),
                ("GET", "/v2/models/iris/infer", asking), ("HEAD", "/v2/models/iris/infer", asking),
                ("PUT", "/v2/models/iris/versions/1/infer?a=b", asking), ("GET", "/v1/models/iris:predict", asking),
                ("HEAD", "/v1/models/iris:predict", asking), ("GET", "/v1/models/iris/versions/1:predict", asking),
                ("GET", "/v1/models/iris/labels/stable:predict", asking),
                ("GET", "/v1/models/iris/versions/1/predict", asking), ("GET", "/v1/models/iris:explain", asking),
            ])
        func itIsSaidWhichMethodsThereAre(_ method: String, _ path: String, _ allow: String) throws {
            let gateway = try Gateway(Self.configuration(["open-inference", "rest-predict"]))
            let answer = try ask(gateway, method, path)
            #expect(answer.status == 405)
            #expect(answer.all("allow") == [allow])
            if method != "HEAD" {
                let text = try JSON(answer.bodyText)["error"].text
                #expect(text == "no adapter serves this path with this method")
            }
            let client = try gateway.http2()
            client.request(1, method, path)
            let other = try client.answer(1)
            #expect(other.status == 405 && other.field("allow") == allow)
        }

        @Test func optionsAreAnswered() throws {
            let gateway = try Gateway(Self.configuration(["open-inference", "rest-predict"]))
            for (path, allow) in [("/v2/health/live", Self.reading), ("/v1/models/iris:predict", Self.asking)] {
                let answer = try ask(gateway, "OPTIONS", path)
                #expect(answer.status == 204, "\(path)")
                #expect(answer.field("allow") == allow, "\(path)")
            }
        }

        @Test func aPathThatNobodyServesIsNotFound() throws {
            let gateway = try Gateway(
                Self.configuration(
                    ["open-inference", "rest-predict", "passthrough"], routes: "[ { prefix: /web/, model: iris } ]"))
            for method in ["GET", "POST", "OPTIONS", "PURGE"] {
                for path in ["/", "/nowhere", "/v2/other", "/v1/models/iris/other", "/webs"] {
                    let answer = try ask(gateway, method, path)
                    #expect(answer.status == 404, "\(method) \(path)")
                    #expect(answer.field("allow") == nil, "\(method) \(path)")
                }
            }
            #expect(try ask(gateway, "POST", "/v2/health/ready").field("allow") == Self.reading)
        }

        @Test func anotherAdapterMayServeTheMethod() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = try Self.configuration(
                ["open-inference", "passthrough"], routes: "[ { prefix: /v2/, model: web } ]")
            configuration.models += [
                "  web: { versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: passthrough } } }"
            ]
            let gateway = try Gateway(configuration)
            for (method, path) in [("POST", "/v2/health/ready"), ("GET", "/v2/models/iris/infer")] {
                let answer = try ask(gateway, method, path)
                #expect(answer.status == 200 && answer.bodyText == "\(method) \(path) 0")
            }
            #expect(try ask(gateway, "GET", "/v2/health/ready").bodyText.contains("ready"))
        }

        @Test func theErrorHasTheShapeOfThePathsProtocol() throws {
            let gateway = try Gateway(Self.configuration(["rest-predict", "openai"]))
            let answer = try ask(gateway, "PUT", "/v1/chat/completions")
            #expect(answer.status == 405)
            #expect(answer.field("allow") == Self.asking)
            let text = try JSON(answer.bodyText)["error"]["message"].text
            #expect(text == "no adapter serves this path with this method")
        }
    }
}
