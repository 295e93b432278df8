import Foundation
import Testing

extension EndToEnd {
    /// What answers in place of an error.
    @Suite struct Fallbacks {
        private func configuration(_ first: String, _ second: String, _ fallback: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([first])
            configuration.models = [
                "  web:", "    versions:", "      \"1\": { endpoints: [ \"\(first)\" ], protocol: passthrough }",
                "    fallback: \(fallback)",
                "  other:", "    versions:", "      \"7\": { endpoints: [ \"\(second)\" ], protocol: passthrough }",
            ]
            return configuration
        }

        @Test func anotherModelAnswersAndIsNamed() throws {
            let dead = try Ports.refusing()
            let other = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                configuration("http://127.0.0.1:\(dead)", other.endpoint, "{ model: other }"))
            let answer = try gateway.post("/a", "{}")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "POST /a 2")
            #expect(answer.field("x-sluice-fallback") == "other/7")
            #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) == 1)
        }

        @Test func aFailedAnswerFallsBackWhenNoAttemptIsLeft() throws {
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            let other = try ScriptedBackend.ordinary()
            var configuration = configuration(failing.endpoint, other.endpoint, "{ model: other }")
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, backoff_ms: 0 } }"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "GET /a 0")
            #expect(failing.requests.count == 2)
            // Of the model that was tried again, and of no other.
            #expect(try gateway.metric("sluice_retries_total", ["model=\"web\""]) == 1)
            #expect(try gateway.metric("sluice_retries_total", ["model=\"other\""]) == 0)
        }

        /// No attempt was answered in its own time: there is time for another model, up to the deadline, which nobody
        /// then has.
        @Test func anotherModelIsAskedWhenAttemptsHaveUsedUpTheirTime() throws {
            let gate = Gate()
            defer { gate.open() }
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
            let other = try ScriptedBackend.ordinary()
            var configuration = configuration(silent.endpoint, other.endpoint, "{ model: other }")
            let policy = "retry_policy: { max_attempts: 1, per_try_timeout_ms: 100 }"
            configuration.models.insert("    \(policy)", at: 3)
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.status == 200 && answer.bodyText == "GET /a 0", "\(answer)")
            #expect(answer.field("x-sluice-fallback") == "other/7")

            configuration = self.configuration(silent.endpoint, silent.endpoint, "{ model: other }")
            configuration.models.insert("    \(policy)", at: 3)
            configuration.gateway = ["  routing: { default_timeout_ms: 400 }"]
            let late = try Gateway(configuration)
            let refused = try late.get("/a")
            #expect(refused.status == 504 && refused.field("x-sluice-fallback") == nil, "\(refused)")
            #expect(try late.metric("sluice_timeouts_total", ["kind=\"response\""]) == 1)
        }

        /// A client whose body is late is late for every model.
        @Test func aBodyThatDoesNotComeIsNotWaitedForTwice() throws {
            let other = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.gateway = ["  limits: { body_timeout_ms: 100 }"]
            let calls = "grpc://127.0.0.1:\(try Ports.refusing())"
            // Toward an endpoint of gRPC the message is made, of a body that is gathered when the pool is there.
            configuration.models = [
                "  iris:", "    versions:",
                "      \"1\": { endpoints: [ \"\(calls)\" ], protocol: open-inference }",
                "      \"2\": { endpoints: [ \"\(other.endpoint)\" ], protocol: open-inference }",
                "    fallback: { version: \"2\" }",
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.exchange(
                "POST /v2/models/iris/versions/1/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 500\r\n\r\n",
                method: "POST")
            #expect(answer.status == 408 && answer.field("x-sluice-fallback") == nil, "\(answer)")
            #expect(other.connectionCount == 0)
            #expect(try gateway.metric("sluice_fallbacks_total") == 0)
        }

        @Test func theNextStepIsTakenWhenOneFails() throws {
            let dead = try Ports.refusing()
            let alsoDead = try Ports.refusing()
            let gateway = try Gateway(
                configuration(
                    "http://127.0.0.1:\(dead)", "http://127.0.0.1:\(alsoDead)",
                    "[ { model: other }, { response: { status: 203, content_type: text/plain, body: sorry } } ]"))
            let answer = try gateway.get("/")
            #expect(answer.status == 203)
            #expect(answer.bodyText == "sorry")
            #expect(answer.field("content-type") == "text/plain")
            #expect(answer.field("x-sluice-fallback") == "response")
            #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) == 2)
        }

        /// What was taken of a body that an endpoint has refused has lost its chunks. Toward HTTP/1.1 its bytes would
        /// be read as chunk lines: such a request ends with the error. One that says its length goes on.
        @Test func aRefusedBodyIsNeverTakenForItsFraming() throws {
            let refusing = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.refused)))
                }
            }
            let old = try ScriptedBackend.ordinary()
            let modern = try ScriptedBackend.http2 { _, peer in
                while let stream = try peer.nextRequest() {
                    peer.respond(stream, 200, peer.answers[stream]?.bodyText ?? "")
                }
            }
            let chunked = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n0\r\n\r\n0\r\n\r\n"
            let counted = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n0\r\n"
            let gateway = try Gateway(
                configuration(
                    refusing.grpcEndpoint, old.endpoint, "[ { model: other }, { response: { status: 203, body: no } } ]"
                ))
            #expect(try gateway.exchange(chunked, method: "POST").status == 203)
            #expect(old.received.isEmpty, "\(old.received.map { text($0) })")
            #expect(try gateway.exchange(counted, method: "POST").bodyText == "POST /a 3")
            let second = try Gateway(configuration(refusing.grpcEndpoint, modern.grpcEndpoint, "{ model: other }"))
            #expect(try second.exchange(chunked, method: "POST").bodyText == "0\r\n")
        }

        @Test func aFailedAnswerFallsBackWithoutAPolicyOfRetriesToo() throws {
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            let other = try ScriptedBackend.ordinary()
            let gateway = try Gateway(configuration(failing.endpoint, other.endpoint, "{ model: other }"))
            #expect(try gateway.get("/a").bodyText == "GET /a 0")
            #expect(failing.requests.count == 1)
        }

        /// A filter that refuses has decided: no other model is to give the answer.
        @Test func whatAFilterRefusesStaysRefusedAndSaysOnceWhenToComeAgain() throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.refusing, "refusing.so", in: directory)
            let well = try ScriptedBackend.ordinary()
            var configuration = configuration(well.endpoint, well.endpoint, "{ response: { body: never } }")
            configuration.plugins = ["  - { name: refusing, library: \(library) }"]
            configuration.filters = ["refusing"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.status == 429)
            #expect(answer.field("x-sluice-fallback") == nil)
            #expect(answer.fields.filter { $0.name.lowercased() == "retry-after" }.map(\.value) == ["7"])
            #expect(well.requests.count == 1)
            #expect(try gateway.metric("sluice_fallbacks_total") == 0)
        }

        /// A filter in C that answers failures, also wrongly: then the error stays what it was.
        @Test func aFilterAnswersFailures() throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.keeping, "keeping.so", in: directory)
            let dead = "http://127.0.0.1:\(try Ports.refusing())"
            var configuration = configuration(dead, dead, "[ { model: other }, { cached: true } ]")
            configuration.plugins = ["  - { name: keeping, library: \(library) }"]
            configuration.filters = ["keeping"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/kept")
            // The model and version that were asked, not those of the step before.
            #expect(answer.status == 203 && answer.bodyText == "web/1")
            #expect(answer.field("x-sluice-fallback")?.hasSuffix("cached") == true)
            for path in ["/none", "/fails", "/waits"] {
                let answer = try gateway.get(path)
                #expect(answer.status == 503, "\(path)")
                #expect(answer.field("x-sluice-fallback") == nil, "\(path)")
            }
            #expect(try gateway.metric("sluice_call_errors_total", ["keeping"]) == 2)
        }

        /// The deadline has passed, and a filter suspends the answer that stands for the error and says no more.
        @Test func aKeptAnswerThatAFilterHoldsHasATimeOfItsOwn() throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.keeping, "keeping.so", in: directory)
            let gate = Gate()
            defer { gate.open() }
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                gate.wait()
            }
            var configuration = configuration(silent.endpoint, silent.endpoint, "{ cached: true }")
            configuration.plugins = ["  - { name: keeping, library: \(library) }"]
            configuration.filters = ["keeping"]
            configuration.gateway += ["  routing: { default_timeout_ms: 200 }"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/kept").status == 203)
            #expect(try gateway.get("/held").status == 504)
        }

        private static let keeping = CompiledPlugin.filter(
            "keeping", callbacks: ["on_failure", "on_response"],
            """
            static char name[64];

            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *answer) {
              (void)instance; (void)exchange; (void)answer;
              return memcmp(request->message->path.data, "/held", 5) == 0 ? SLUICE_PENDING : SLUICE_OK;
            }

            static sluice_status on_failure(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                            sluice_status failure, sluice_response *answer) {
              (void)instance; (void)exchange;
              const sluice_bytes path = request->message->path;
              if (path.size == 6 && memcmp(path.data, "/fails", 6) == 0) return SLUICE_INTERNAL;
              if (path.size == 6 && memcmp(path.data, "/waits", 6) == 0) return SLUICE_PENDING;
              if (path.size != 5 || (memcmp(path.data, "/kept", 5) != 0 && memcmp(path.data, "/held", 5) != 0) ||
                  (failure != SLUICE_UNAVAILABLE && failure != SLUICE_DEADLINE_EXCEEDED))
                return SLUICE_OK;
              static const sluice_message message = {.transport = SLUICE_TRANSPORT_HTTP, .status = 203};
              size_t size = 0;
              memcpy(name, answer->model.data, answer->model.size);
              size = answer->model.size;
              name[size++] = '/';
              memcpy(name + size, answer->version.data, answer->version.size);
              size += answer->version.size;
              answer->message = &message;
              answer->http_status = 203;
              answer->payload.kind = SLUICE_PAYLOAD_RAW;
              answer->payload.raw = (sluice_bytes){(const uint8_t *)name, size};
              return SLUICE_ANSWER;
            }
            """)

        private static let refusing = CompiledPlugin.filter(
            "refusing", callbacks: ["on_response"],
            """
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)request, (void)response;
              exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("retry-after"), text("7"));
              return SLUICE_RESOURCE_EXHAUSTED;
            }
            """)

        /// Says in the answer how often the filter was told of an error, and of which the last time.
        private static let hearing = CompiledPlugin.filter(
            "hearing", callbacks: ["on_error"],
            """
            static void on_error(void *instance, sluice_exchange *exchange, sluice_status error) {
              (void)instance;
              static int times = 0;
              static char said[32];
              snprintf(said, sizeof said, "%d: %d", ++times, error);
              exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-told"), text(said));
            }
            """)

        /// What stands for the error in its answer is no answer of a model: whoever holds something until there is one
        /// has to know. Another model's is.
        @Test func filtersAreToldOfTheErrorThatAFixedAnswerStandsFor() throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.hearing, "hearing.so", in: directory)
            let dead = "http://127.0.0.1:\(try Ports.refusing())"
            let well = try ScriptedBackend.ordinary()
            func gateway(_ other: String, _ fallback: String) throws -> Gateway {
                var configuration = configuration(dead, other, fallback)
                configuration.workers = 1
                configuration.plugins = ["  - { name: hearing, library: \(library) }"]
                configuration.filters = ["hearing"]
                return try Gateway(configuration)
            }
            let fixed = try gateway(dead, "[ { model: other }, { response: { status: 200, body: fixed } } ]")
            for time in 1...2 {
                let answer = try fixed.get("/a")
                #expect(answer.bodyText == "fixed" && answer.field("x-told") == "\(time): -14", "\(answer)")
            }
            let other = try gateway(well.endpoint, "[ { model: other }, { response: { status: 200, body: fixed } } ]")
            let answer = try other.get("/a")
            #expect(answer.bodyText == "GET /a 0" && answer.field("x-told") == nil)
        }

        @Test func aWellModelIsNotReplaced() throws {
            let well = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                configuration(well.endpoint, well.endpoint, "{ response: { body: never } }"))
            let answer = try gateway.get("/a")
            #expect(answer.bodyText == "GET /a 0")
            #expect(answer.field("x-sluice-fallback") == nil)
        }

        @Test func anInferenceGoesToAModelInTheGateway() throws {
            let dead = try Ports.refusing()
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  iris:",
                "    versions: { \"1\": { endpoints: [ \"http://127.0.0.1:\(dead)\" ], protocol: open-inference } }",
                "    fallback: { model: iris-small }",
                "  iris-small: { versions: { \"1\": { backend: linear-model } } }",
            ]
            let gateway = try Gateway(configuration)
            let request = """
                {"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}
                """
            let direct = try gateway.post("/v2/models/iris-small/infer", request)
            let answer = try gateway.post("/v2/models/iris/infer", request)
            #expect(direct.status == 200)
            #expect(answer.status == 200)
            #expect(answer.bodyText == direct.bodyText)
            #expect(answer.field("x-sluice-fallback") == "iris-small/1")
        }

        /// What was made for an endpoint of gRPC is not sent behind the client's own request to one of HTTP.
        @Test func aMessageMadeForOnePoolIsNotSentToAnother() throws {
            let calls = Counter()
            let first = try ScriptedBackend.http2 { _, peer in
                guard let stream = try peer.nextRequest() else { return }
                calls.add(1)
                peer.send(HTTP2Frame(.resetStream, stream: stream, HTTP2Frame.word(HTTP2Error.cancel)))
                _ = try peer.nextRequest()
            }
            let all = Gate()
            let second = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.answer(200, "{}", fields: ["Connection: close"])
                _ = try connection.reader.rest()
                all.open()
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  iris:", "    versions:",
                "      \"1\": { endpoints: [ \"\(first.grpcEndpoint)\" ], protocol: open-inference }",
                "      \"2\": { endpoints: [ \"\(second.endpoint)\" ], protocol: open-inference }",
                "    fallback: { version: \"2\" }",
            ]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/v2/models/iris/versions/1/ready")
            #expect(answer.status == 200 && answer.field("x-sluice-fallback") == "iris/2", "\(answer)")
            #expect(calls.value == 1)
            all.wait()
            #expect(second.received.count == 1)
            #expect(text(second.received[0]).hasSuffix("\r\n\r\n"), "\(second.received)")
        }

        /// A body that streamed to the first pool and was gathered for the second goes to the third once, and what the
        /// client sent behind it is another request.
        @Test func aBodyThatWasStreamedAndThenGatheredIsSentOnce() throws {
            let first = try ScriptedBackend { connection in _ = try connection.reader.request() }
            let second = "http://127.0.0.1:\(try Ports.refusing())"
            let all = Gate()
            let third = try ScriptedBackend { connection in
                guard let request = try connection.reader.request() else { return }
                connection.answer(200, request.bodyText, fields: ["Connection: close"])
                _ = try connection.reader.rest()
                all.open()
            }
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  one: { versions: { \"1\": { endpoints: [ \"\(first.endpoint)\" ], protocol: open-inference } },",
                "         fallback: [ { model: two }, { model: three } ] }",
                "  two: { versions: { \"1\": { endpoints: [ \"\(second)\" ], protocol: rest-predict } } }",
                "  three: { versions: { \"1\": { endpoints: [ \"\(third.endpoint)\" ], protocol: open-inference } } }",
            ]
            let gateway = try Gateway(configuration)
            let body = "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,2],\"datatype\":\"FP32\",\"data\":[5.5,3.25]}]}"
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send(
                "POST /v2/models/one/infer HTTP/1.1\r\nHost: t\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                    + "GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n")
            let answer = try reader.response(to: "POST")
            #expect(answer?.status == 200, "\(String(describing: answer))")
            #expect(answer?.field("x-sluice-fallback") == "three/1")
            #expect(answer?.bodyText == body)
            all.wait()
            let sent = text(third.received.first ?? [])
            #expect(sent.hasSuffix("\r\n\r\n\(body)"), "\(sent)")
            #expect(sent.components(separatedBy: body).count == 2, "\(sent)")
            #expect(try reader.response()?.status == 200)
        }

        @Test func whatIsWrongWithTheRequestStaysAnError() throws {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  iris:", "    versions: { \"1\": { backend: linear-model } }",
                "    fallback: { response: { body: never } }",
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.post("/v2/models/iris/infer", "{}").status == 400)
        }
    }
}
