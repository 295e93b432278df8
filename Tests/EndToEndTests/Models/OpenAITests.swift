import Foundation
import Testing

extension EndToEnd {
    /// OpenAI's API beside the other adapters.
    @Suite struct OpenAIAPI {
        /// Models `tiny` and `org/tiny`, which the endpoint knows under another name, `plain`, which it knows under its
        /// own, and a classifier in this process.
        private static func configuration(
            _ endpoint: String, adapters: [String] = ["openai", "rest-predict"]
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = adapters
            configuration.gateway = ["  routing: { default_timeout_ms: 20000 }"]
            configuration.plugins = [
                "  - name: openai", "    library: libOpenAI.so",
                "    config: { models: [ tiny, org/tiny ], other_paths_model: tiny }",
                "  - name: api-key", "    library: libApiKey.so",
                "    config: { keys: [ { key: right, tenant: acme } ] }",
            ]
            let place = "endpoints: [ \"\(endpoint)\" ], protocol: openai"
            let renamed = "{ \(place), upstream: { model: tiny-upstream } }"
            configuration.models = [
                "  tiny:", "    filters: openai", "    versions: { \"1\": \(renamed) }",
                "  org/tiny:", "    versions: { \"1\": \(renamed) }",
                "  plain:", "    filters: openai", "    versions: { \"1\": { \(place) } }",
                "  iris:", "    versions: { \"1\": { backend: linear-model } }",
            ]
            return configuration
        }

        private static let done = #"{"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#

        @Test func aBodyGoesOnByteForByteUnlessTheNameDiffers() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(200, Self.done, fields: ["Content-Type: application/json"])
            }
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            let fields = ["Content-Type: application/json", "X-Mine: 1", "Authorization: Bearer k"]
            let body =
                #"{ "messages":[{"content":"\u00e9é","model":"tiny"}],"# + "\r\n" + #" "model" : "NAME","n":1.0 }"#
            for (name, sent) in [("plain", "plain"), ("tiny", "tiny-upstream"), ("org\\/tiny", "tiny-upstream")] {
                let response = try gateway.post(
                    "/v1/chat/completions?x=y", body.replacingOccurrences(of: "NAME", with: name), fields: fields)
                #expect(response.status == 200, "\(response.bodyText)")
                #expect(response.bodyText == Self.done)
                let request = try #require(backend.requests.last)
                #expect(request.start == "POST /v1/chat/completions?x=y HTTP/1.1")
                #expect(request.bodyText == body.replacingOccurrences(of: "NAME", with: sent))
                #expect(request.all("content-length") == ["\(request.body.count)"])
                #expect(request.field("x-mine") == "1")
                #expect(request.field("authorization") == "Bearer k")
            }
        }

        @Test(arguments: ["plain", "tiny"])
        func anEventArrivesBeforeTheNextOneExists(model: String) throws {
            let events = ["data: one\n\n", "data: two\n\n", "data: {\"usage\":", "{\"total_tokens\":5}}\n\n"]
            let arrived = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                for (index, event) in events.enumerated() {
                    try waitUntil("the client has what was sent") { arrived.value == index }
                    connection.socket.send("\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n")
                }
                connection.socket.send("0\r\n\r\n")
            }
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            let body = "{\"model\":\"\(model)\",\"stream\":true}"
            let socket = try gateway.connect()
            socket.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n")
            socket.send(body)
            let reader = MessageReader(socket)
            let head = try #require(try reader.head(.ordinary))
            #expect(head.field("content-type") == "text/event-stream")
            for event in events {
                while !text(reader.left).contains(event) { try #require(try reader.more(.ordinary)) }
                arrived.add(1)
            }
            while !text(reader.left).hasSuffix("0\r\n\r\n") { try #require(try reader.more(.ordinary)) }
            #expect(try gateway.metric("sluice_plugin_openai_tokens_total", ["model=\"\(model)\""]) == 5)
        }

        @Test func tokensAreCountedByModelWhateverTheAnswersFraming() throws {
            let backend = try ScriptedBackend { connection, request in
                if request.target == "/v1/embeddings" {
                    connection.socket.send(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                            + "5\r\n{\"usa\r\n1B\r\nge\":{\"prompt_tokens\":40}}   \n\r\n0\r\n\r\n")
                } else if request.target == "/v1/completions" {
                    connection.answer(500, Self.done, fields: ["Content-Type: application/json"])
                } else {
                    connection.answer(200, Self.done, fields: ["Content-Type: application/json"])
                }
            }
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            for (path, model) in [
                ("embeddings", "tiny"), ("chat/completions", "tiny"), ("responses", "plain"), ("completions", "plain"),
            ] {
                let response = try gateway.post(
                    "/v1/\(path)", "{\"model\":\"\(model)\"}", fields: ["Accept-Encoding: gzip"])
                #expect(response.status == (path == "completions" ? 500 : 200))
                #expect(backend.requests.last?.all("accept-encoding") == ["identity"])
            }
            // `org/tiny` has no filter that counts.
            _ = try gateway.post("/v1/chat/completions", "{\"model\":\"org/tiny\"}")
            func count(_ kind: String, _ model: String) throws -> Double {
                try gateway.metric("sluice_plugin_openai_\(kind)_total", ["model=\"\(model)\""])
            }
            #expect(try count("prompt_tokens", "tiny") == 41)
            #expect(try count("completion_tokens", "tiny") == 2)
            #expect(try count("tokens", "tiny") == 43)
            #expect(try count("tokens", "plain") == 3)
            #expect(try gateway.metric("sluice_plugin_openai_tokens_total") == 46)
        }

        @Test func aChangedBodyIsSentAgainWhenTheConnectionWasStale() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.answer(200, Self.done, fields: ["Content-Type: application/json"])
                // A second request on the first connection is read and left unanswered.
                if connection.index == 0 { _ = try connection.reader.request() }
            }
            var configuration = Self.configuration(backend.endpoint)
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for text in ["first", "second"] {
                let body = "{\"model\":\"tiny\",\"input\":\"\(text)\"}"
                let response = try gateway.post("/v1/embeddings", body)
                #expect(response.status == 200, "\(response.bodyText)")
            }
            let sent = backend.received.map { String(text($0).split(separator: "\r\n").last ?? "") }
            #expect(sent == Array(repeating: #"{"model":"tiny-upstream","input":"second"}"#, count: 2))
            #expect(try gateway.metric("sluice_plugin_openai_tokens_total", ["model=\"tiny\""]) == 6)
        }

        @Test func aClientOfHTTP2GetsEventsToo() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "9\r\ndata: {\"u\r\n1B\r\nsage\":{\"total_tokens\":6}}\n\n\r\n0\r\n\r\n")
            }
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            let result = try ChildProcess.run(
                "/usr/bin/curl",
                [
                    "--silent", "--show-error", "--max-time", "20", "--http2-prior-knowledge", "--data-binary",
                    "{\"model\":\"tiny\",\"stream\":true}", "http://127.0.0.1:\(gateway.port)/v1/completions",
                ], .ordinary)
            #expect(result.output == "data: {\"usage\":{\"total_tokens\":6}}\n\n", "\(result.errors)")
            #expect(backend.requests.last?.bodyText == "{\"model\":\"tiny-upstream\",\"stream\":true}")
            #expect(try gateway.metric("sluice_plugin_openai_tokens_total", ["model=\"tiny\""]) == 6)
        }

        /// Both protocols have `/v1/models`: which one answers is the order of the adapters, and of single models the
        /// one to which they are named.
        @Test func livesBesideRestPredict() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            #expect(try JSON(gateway.get("/v1/models").bodyText)["object"].text == "list")
            #expect(try JSON(gateway.get("/v1/models/tiny").bodyText)["object"].text == "model")
            for path in ["/v1/models/org/tiny", "/v1/models/org%2Ftiny"] {
                #expect(try JSON(gateway.get(path).bodyText)["id"].text == "org/tiny")
            }
            for path in ["/v1/models/iris", "/v1/models/iris/versions/1"] {
                let state = try JSON(gateway.get(path).bodyText)
                #expect(state["model_version_status"][0]["state"].text == "AVAILABLE", "\(path)")
            }
            for path in ["/v1/models/iris:predict", "/v1/models/iris/versions/1/predict"] {
                let answer = try gateway.post(path, "{\"instances\":[[5.1,3.5,1.4,0.2]]}")
                #expect(answer.status == 200 && answer.bodyText.contains("predictions"), "\(answer.bodyText)")
            }
            let unknown = try gateway.get("/v1/models/none")
            #expect(unknown.status == 404)
            #expect(try JSON(unknown.bodyText)["error"].text != nil, "it is no model of OpenAI's API")
            #expect(try gateway.get("/v1/files?limit=2").bodyText == "GET /v1/files?limit=2 0")
            #expect(try gateway.get("/v1/x/../files").status == 404)

            let other = try Gateway(Self.configuration(backend.endpoint, adapters: ["rest-predict", "openai"]))
            #expect(try JSON(other.get("/v1/models").bodyText)["object"].text == nil)
            #expect(try other.post("/v1/completions", "{\"model\":\"plain\"}").bodyText == "POST /v1/completions 17")
        }

        @Test func errorsHaveTheAPIsShape() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(Self.configuration(backend.endpoint))
            for (body, status, code) in [
                ("{\"model\":\"none\"}", 404, "model_not_found"), ("{\"model\":\"iris\"}", 501, nil),
                ("{\"model\":1}", 400, nil), ("{\"model\":\"plain\",\"model\":\"tiny\"}", 400, nil), ("", 400, nil),
            ] as [(String, Int, String?)] {
                let response = try gateway.post("/v1/chat/completions", body)
                #expect(response.status == status, "\(response.bodyText)")
                let error = try JSON(response.bodyText)["error"]
                #expect(error["code"].text == code)
                #expect(error["message"].text?.isEmpty == false)
                #expect(error["type"].text == (status < 500 ? "invalid_request_error" : "server_error"))
            }
            #expect(backend.requests.isEmpty)
        }

        @Test(.enabled(if: Clients.wanted, "`make test` makes the environment that this needs"))
        func theOpenAIClientSimplyWorks() throws {
            let server = try ModelServer.openAI()
            var configuration = Self.configuration(server.endpoint)
            configuration.filters = ["api-key"]
            let gateway = try Gateway(configuration)
            try Clients.run("drive_openai.py", ["http://127.0.0.1:\(gateway.port)", "right"])
            // Two chats, 11 + 4; a completion, 2 + 3; embeddings, 7; two responses, 20 + 30.
            func count(_ kind: String) throws -> Double {
                try gateway.metric("sluice_plugin_openai_\(kind)_total", ["model=\"tiny\""])
            }
            #expect(try count("prompt_tokens") == 71)
            #expect(try count("completion_tokens") == 71)
            #expect(try count("tokens") == 142)
        }

        @Test(.enabled(if: Clients.wanted, "`make test` makes the environment that this needs"))
        func aServerThatOthersMadeStreamsThrough() throws {
            let server = try ModelServer.fakeLLM()
            let gateway = try Gateway(Self.configuration(server.endpoint))
            try Clients.run("drive_chat.py", ["http://127.0.0.1:\(gateway.port)", server.endpoint])
            #expect(try gateway.metric("sluice_plugin_openai_completion_tokens_total", ["model=\"plain\""]) > 0)
        }
    }
}
