import CZlib
import Testing

extension EndToEnd {
    /// Requests whose body or message comes compressed. Who only finds out where they go leaves them as they came; who
    /// reads them sees what they say.
    @Suite struct CompressedRequests {
        /// In the frame of zlib, which both protocols call `deflate`.
        private static func deflate(_ content: [UInt8]) throws -> [UInt8] {
            var size = compressBound(UInt(content.count))
            var output = [UInt8](repeating: 0, count: Int(size))
            try #require(compress2(&output, &size, content, UInt(content.count), 6) == Z_OK)
            return Array(output.prefix(Int(size)))
        }

        private static let call = MalformedCall.infer([1, 4], MalformedCall.row)
        private static let iris = "  iris: { versions: { \"1\": { backend: linear-model } } }"

        private static func post(
            _ client: HTTP2Client, _ stream: UInt32, _ path: String, _ body: [UInt8], fields: [(String, String)]
        ) throws -> HTTP2Answer {
            client.request(stream, "POST", path, fields: fields, ends: false)
            for start in stride(from: 0, to: body.count, by: 16_384) {
                client.send(HTTP2Frame(.data, stream: stream, Array(body[start..<min(start + 16_384, body.count)])))
            }
            client.send(HTTP2Frame(.data, flags: 1, stream: stream))
            return try client.answer(stream)
        }

        private static func infer(
            _ client: HTTP2Client, _ stream: UInt32, _ message: [UInt8], flag: UInt8 = 1, encoding: String? = "deflate"
        ) throws -> HTTP2Answer {
            try post(
                client, stream, MalformedCall.inferPath, Wire.message(message, flag: flag),
                fields: [("content-type", "application/grpc"), ("te", "trailers")]
                    + (encoding.map { [("grpc-encoding", $0)] } ?? []))
        }

        private static func predict(
            _ client: HTTP2Client, _ stream: UInt32, _ body: [UInt8], encoding: String = "deflate"
        ) throws -> HTTP2Answer {
            try post(
                client, stream, "/v2/models/iris/infer", body,
                fields: [("content-type", "application/json"), ("content-encoding", encoding)])
        }

        private static func json(_ rows: Int = 1) -> [UInt8] {
            let numbers = [String](repeating: "0", count: rows * 4).joined(separator: ",")
            return Array(
                "{\"inputs\":[{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[\(rows),4],\"data\":[\(numbers)]}]}"
                    .utf8)
        }

        // MARK: Read

        @Test func aModelReadsWhatAMessageInflatesTo() throws {
            var configuration = GatewayConfiguration()
            configuration.models = [Self.iris]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            let plain = try Self.infer(client, 1, Self.call, flag: 0, encoding: nil)
            #expect(plain.field("grpc-status") ?? plain.trailers.first { $0.name == "grpc-status" }?.value == "0")
            let answer = try Self.infer(client, 3, try Self.deflate(Self.call))
            #expect(answer.body == plain.body)
            // An encoding that is named need not be used.
            #expect(try Self.infer(client, 5, Self.call, flag: 0).body == plain.body)
            let body = try Self.predict(client, 7, try Self.deflate(Self.json()))
            #expect(body.status == 200, "\(body.bodyText)")
            #expect(body.bodyText.contains("outputs"))
        }

        @Test func whatCannotBeReadIsRefusedInItsOwnProtocol() throws {
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.gateway = ["  limits: { inflated_bytes: 65536, inflation_ratio: 1 }"]
            configuration.models = [Self.iris]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            let good = try Self.deflate(Self.call)
            let large = try Self.deflate(MalformedCall.infer([4_097, 4], [UInt8](repeating: 0, count: 65_552)))
            let calls: [(String, [UInt8], String?, String, String)] = [
                ("cut short", Array(good.dropLast()), "deflate", "13", "grpc-encoding"),
                ("of another coding", good, "gzip", "13", "grpc-encoding"),
                ("nothing", [], "gzip", "13", "grpc-encoding"),
                ("no compression", Self.call, "deflate", "13", "grpc-encoding"),
                ("not said how", good, nil, "13", "has no grpc-encoding"),
                ("said not to be", good, "identity", "13", "has no grpc-encoding"),
                ("unknown", good, "snappy", "12", "unknown"), ("too large", large, "deflate", "8", "larger"),
            ]
            for (index, entry) in calls.enumerated() {
                let answer = try Self.infer(client, UInt32(index) * 2 + 1, entry.1, encoding: entry.2)
                #expect(answer.field("grpc-status") == entry.3, "\(entry.0): \(answer)")
                #expect(answer.field("grpc-message")?.contains(entry.4) == true, "\(entry.0): \(answer)")
                #expect(
                    answer.field("grpc-accept-encoding") == (entry.3 == "12" ? "identity,deflate,gzip" : nil),
                    "\(entry.0)")
            }
            let text = try Self.deflate(Self.json())
            let bodies: [(String, [UInt8], String, Int)] = [
                ("cut short", Array(text.dropLast()), "deflate", 400), ("no compression", Self.json(), "deflate", 400),
                ("of another coding", text, "gzip", 400), ("unknown", text, "br", 415),
                ("twice", text, "gzip, gzip", 415),
                ("too large", try Self.deflate(Self.json(9_000)), "deflate", 413),
                ("as it is", Self.json(), "identity", 200),
            ]
            for (index, entry) in bodies.enumerated() {
                let answer = try Self.predict(client, UInt32(index) * 2 + 101, entry.1, encoding: entry.2)
                #expect(answer.status == entry.3, "\(entry.0): \(answer.bodyText)")
                #expect(answer.bodyText.contains("error") == (entry.3 != 200), "\(entry.0): \(answer.bodyText)")
                #expect(
                    answer.field("accept-encoding") == (entry.3 == 415 ? "gzip, deflate" : nil), "\(entry.0): \(answer)"
                )
            }
            // One coding over the other, in two fields; and one that is none.
            for (stream, second, status) in [(UInt32(201), "deflate", 415), (203, "identity", 200)] {
                let answer = try Self.post(
                    client, stream, "/v2/models/iris/infer", text,
                    fields: [("content-encoding", second), ("content-encoding", "deflate")])
                #expect(answer.status == status, "\(second): \(answer.bodyText)")
            }
            #expect(try Self.infer(client, 301, good).body.isEmpty == false)
        }

        // MARK: Passed on

        /// The name of the model is read from the first message, and the endpoint gets what the client has sent.
        @Test func aCallThatIsPassedOnStaysCompressed() throws {
            let backend = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    // What it was sent, as its message.
                    peer.answerCall(stream, peer.answers[stream]?.body ?? [])
                }
            }
            var configuration = GatewayConfiguration()
            configuration.models = [
                "  iris: { versions: { \"1\": { endpoints: [ \"\(backend.grpcEndpoint)\" ], "
                    + "protocol: open-inference } } }"
            ]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            let message = try Self.deflate(Self.call)
            #expect(try Self.infer(client, 1, message).body == Wire.message(message, flag: 1))
        }

        @Test func aBodyThatIsReadForItsModelAndPassedOnStaysCompressed() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "{}") }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-ai"]
            configuration.plugins = ["  - { name: open-ai, library: libOpenAI.so }"]
            configuration.models = [
                "  chat: { versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-ai } } }",
                "  other: { versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-ai, "
                    + "upstream: { model: chat } } } }",
            ]
            let gateway = try Gateway(configuration)
            let client = try gateway.http2()
            for (stream, model) in [(UInt32(1), "chat"), (3, "other")] {
                let text = "{\"model\":\"\(model)\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"
                let body = try Self.deflate(Array(text.utf8))
                let answer = try Self.post(
                    client, stream, "/v1/chat/completions", body,
                    fields: [("content-type", "application/json"), ("content-encoding", "deflate")])
                #expect(answer.status == 200, "\(answer.bodyText)")
                let seen = try #require(backend.requests.last)
                if model == "chat" {
                    #expect(seen.field("content-encoding") == "deflate")
                    #expect(seen.body == body)
                } else {
                    // Another name stands in it: it was written anew.
                    #expect(seen.field("content-encoding") == nil)
                    #expect(seen.bodyText == text.replacing("other", with: "chat"))
                }
                #expect(seen.field("content-length") == "\(seen.body.count)")
            }
        }

        /// Nobody reads it: whatever the coding, and whatever is in it.
        @Test func whatNobodyReadsGoesOnUntouched() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "{}") }
            let gateway = try Gateway(.web([backend.endpoint]))
            let client = try gateway.http2()
            for (stream, encoding) in [(UInt32(1), "br"), (3, "gzip"), (5, "deflate")] {
                let answer = try Self.post(
                    client, stream, "/some", [1, 2, 3], fields: [("content-encoding", encoding)])
                #expect(answer.status == 200)
                #expect(backend.requests.last?.body == [1, 2, 3])
                #expect(backend.requests.last?.field("content-encoding") == encoding)
            }
        }

        /// A router would like to read it, and decides without where it cannot. Only who has to read it refuses.
        @Test func whatARouterCannotReadGoesOnAllTheSame() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "{}") }
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.plugins = [
                "  - name: shadow", "    library: libShadow.so", "    config:", "      shadows:",
                "        - { name: s, model: passed, to: { model: copied }, wait_for_body_bytes: 1000 }",
                "  - name: rules", "    library: libContentBased.so", "    config:", "      rules:",
                "        - { when: 'tensor(0).rank == 2', then: { model: copied } }",
                "        - { when: 'exists(json(\"inputs\"))', then: { model: copied } }",
            ]
            configuration.router = "[ rules, shadow, by-version ]"
            let place = "versions: { \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: "
            configuration.models = [
                Self.iris, "  passed: { \(place)open-inference } } }", "  copied: { \(place)open-inference } } }",
                "  translated: { \(place)rest-predict } } }",
            ]
            let gateway = try Gateway(configuration)
            func post(_ model: String) throws -> HTTPMessage {
                try gateway.post(
                    "/v2/models/\(model)/infer", "none of it",
                    fields: ["Content-Type: application/json", "Content-Encoding: br"])
            }
            let answer = try post("passed")
            #expect(answer.status == 200, "\(answer.bodyText)")
            #expect(answer.field("accept-encoding") == nil)
            let seen = try #require(backend.requests.first { $0.target == "/v2/models/passed/infer" })
            #expect(seen.bodyText == "none of it" && seen.field("content-encoding") == "br")
            for model in ["iris", "translated"] {
                let refused = try post(model)
                #expect(refused.status == 415, "\(model): \(refused.bodyText)")
                #expect(refused.field("accept-encoding") == "gzip, deflate")
            }
            #expect(backend.requests.count { !$0.target.contains("/copied/") } == 1)
        }

        /// A copy of what was read has no coding any more. Which other fields it has is no matter of that.
        @Test func aCopyOfWhatWasReadHasAllItsFields() throws {
            let (web, next) = (try ScriptedBackend.ordinary(), try ScriptedBackend.ordinary())
            var configuration = GatewayConfiguration.web([web.endpoint])
            configuration.plugins = [
                "  - name: shadow", "    library: libShadow.so", "    config:", "      shadows:",
                "        - { name: s, model: web, to: { model: next }, wait_for_body_bytes: 1000 }",
            ]
            configuration.router = "shadow"
            configuration.models.append(
                "  next: { versions: { \"1\": { endpoints: [ \"\(next.endpoint)\" ], protocol: passthrough } } }")
            let gateway = try Gateway(configuration)
            let body = try Self.deflate(Array("{}".utf8))
            let head = [
                "POST /a HTTP/1.1", "Host: test", "Content-Encoding: deflate", "Content-Length: \(body.count)",
                "X-Behind: 1", "X-Hop: 2", "Connection: x-hop", "X-Last: 3",
            ]
            let socket = try gateway.connect()
            socket.send(Array((head.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body)
            #expect(try MessageReader(socket).response()?.status == 200)
            try waitUntil("the copy came") { !next.requests.isEmpty }
            let copy = try #require(next.requests.first)
            #expect(copy.bodyText == "{}")
            #expect(copy.field("content-length") == "2")
            #expect(copy.field("x-behind") == "1" && copy.field("x-last") == "3")
            for name in ["content-encoding", "x-hop"] { #expect(copy.field(name) == nil) }
        }

        @Test(.enabled(if: Clients.wanted)) func clientsMayCompress() throws {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict", "tf-serving"]
            configuration.plugins = ["  - { name: tf-serving, library: libTFServing.so }"]
            let port = try Ports.free()
            configuration.listeners = ["127.0.0.1:\(port)"]
            configuration.models = [
                Self.iris,
                // The gateway itself, once more, as what stands behind it.
                "  passed: { versions: { \"1\": { endpoints: [ \"grpc://127.0.0.1:\(port)\" ], "
                    + "protocol: open-inference, upstream: { model: iris } } } }",
                "  translated: { versions: { \"1\": { endpoints: [ \"http://127.0.0.1:\(port)\" ], "
                    + "protocol: rest-predict, upstream: { model: iris } } } }",
            ]
            let gateway = try Gateway(configuration)
            try Clients.run("drive_compressed.py", ["127.0.0.1:\(gateway.port)", "iris", "passed", "translated"])
        }
    }
}
