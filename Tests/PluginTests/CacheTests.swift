import SluiceABI
import Testing

/// The filter `cache`, through the C header.
@Suite struct CacheTests {
    let host = FakeHost()
    static let toClient = UInt32(SLUICE_SIDE_RESPONSE)
    static let json = [("content-type", "application/json")]

    /// A gateway's view of one exchange behind routing: request, answer, and what the backend says.
    func exchange(
        _ body: String = "{}", token: UInt64, fields: [(String, String)] = json, method: String = "POST",
        target: String = "/v1/chat/completions", operation: Int32 = SLUICE_OPERATION_CHAT
    ) -> FakeExchange {
        let exchange = FakeExchange(method, target, fields: fields, body: Array(body.utf8))
        exchange.token = token
        exchange.request.pointee.model = exchange.texts.bytes("m")
        exchange.request.pointee.operation = UInt32(operation)
        exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
        exchange.request.pointee.payload.raw = exchange.message.pointee.body[0]
        exchange.request.pointee.payload.content_type = exchange.texts.bytes("application/json")
        return exchange
    }

    /// What the filter says of the request; a hit is left in `answer`.
    func ask(
        _ filter: FilterUnderTest, _ exchange: FakeExchange, version: String = "1",
        _ answer: inout sluice_response
    ) -> sluice_status {
        answer.model = exchange.texts.bytes("m")
        answer.version = exchange.texts.bytes(version)
        return filter.table.pointee.on_request(filter.instance, exchange.handle, exchange.request, &answer)
    }

    func ask(_ filter: FilterUnderTest, _ exchange: FakeExchange, version: String = "1") -> sluice_status {
        var answer = sluice_response()
        return ask(filter, exchange, version: version, &answer)
    }

    /// The backend's answer, whole, as it is shown to the filter.
    @discardableResult
    func tell(
        _ filter: FilterUnderTest, _ exchange: FakeExchange, _ text: String, status: UInt32 = 200,
        version: String = "1", fields: [(String, String)] = json, state: Int32 = SLUICE_BODY_WHOLE
    ) -> sluice_status {
        var message = sluice_message()
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = status
        message.fields = exchange.texts.array(
            fields.map { sluice_field(name: exchange.texts.bytes($0.0), value: exchange.texts.bytes($0.1)) })
        message.field_count = UInt32(fields.count)
        message.body_state = UInt32(state)
        let kept = exchange.texts.mutable([message])
        var response = sluice_response()
        response.message = UnsafePointer(kept)
        response.http_status = status
        response.model = exchange.texts.bytes("m")
        response.version = exchange.texts.bytes(version)
        if state == SLUICE_BODY_WHOLE {
            response.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            response.payload.raw = exchange.texts.bytes(text)
            response.payload.content_type = exchange.texts.bytes("application/json")
        }
        return filter.onResponse(exchange, &response)
    }

    func status(_ exchange: FakeExchange) -> String? {
        exchange.edits.last { $0.side == Self.toClient && $0.name == "cache-status" }?.value
    }

    @Test func anAnswerIsGivenAgain() throws {
        // Under a name of its own: the gauges are of all instances of one name, and other tests have some.
        let filter = try FilterUnderTest("Cache", host, name: "of-its-own")
        let first = exchange("{\"a\":1}", token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        #expect(first.edits.isEmpty)
        let fields = [
            ("Content-Type", "application/json"), ("X-Own", "v"), ("Connection", "close"), ("Date", "then"),
            ("Content-Length", "5"), ("Age", "7"), ("Cache-Status", "origin; hit"),
        ]
        #expect(tell(filter, first, "hello", fields: fields) == SLUICE_OK)
        #expect(status(first) == "sluice; fwd=miss; stored")

        host.advance(by: 2_500_000_000)
        let second = exchange("{\"a\":1}", token: 2)
        var answer = sluice_response()
        answer.id = second.texts.bytes("its own")
        #expect(ask(filter, second, &answer) == SLUICE_ANSWER)
        #expect(text(answer.payload.raw) == "hello")
        #expect(text(answer.payload.content_type) == "application/json")
        #expect(text(answer.id) == "its own" && text(answer.version) == "1")
        let message = try #require(answer.message?.pointee)
        #expect(message.status == 200 && message.body_state == UInt32(SLUICE_BODY_NONE))
        let kept = withExtendedLifetime(second) {
            (0..<Int(message.field_count)).map { text(message.fields[$0].name) }
        }
        #expect(kept == ["Content-Type", "X-Own"])
        // Nothing is said before its own turn of the answer: filters behind it, which have theirs first, would undo it.
        #expect(second.edits.isEmpty)
        // The host shows the filter its own answer once more: that is not kept anew.
        #expect(filter.onResponse(second, &answer) == SLUICE_OK)
        #expect(status(second) == "sluice; hit")
        #expect(second.edits.contains { $0.name == "age" && $0.value == "9" })
        #expect(host.metric("stored_total")?.value == 1)
        #expect(host.metric("hits_total")?.value == 1)
        #expect(host.metric("misses_total")?.value == 1)
        host.advance(by: 1_000_000_000)
        #expect(host.metric("entries")?.value == 1)
        #expect((host.metric("bytes")?.value ?? 0) > 128)
    }

    @Test func answersEndWithTheirTime() throws {
        let filter = try FilterUnderTest("Cache", host, config: ["ttl_seconds": 10])
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "a")
        host.advance(by: 9_999_999_999)
        #expect(ask(filter, exchange(token: 2)) == SLUICE_ANSWER)
        host.advance(by: 1)
        #expect(ask(filter, exchange(token: 3)) == SLUICE_OK)
        host.advance(by: 1_000_000_000)
        #expect(host.metric("hits_total")?.value == 1)
    }

    /// Everything that makes another answer makes another key.
    @Test func requestsThatDifferShareNothing() throws {
        let filter = try FilterUnderTest("Cache", host)
        var token: UInt64 = 1
        let first = exchange("{\"a\":1}", token: token)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "a")
        func isHit(version: String = "1", _ other: FakeExchange) -> Bool {
            ask(filter, other, version: version) == SLUICE_ANSWER
        }
        func next() -> UInt64 {
            token += 1
            return token
        }
        #expect(isHit(exchange("{\"a\":1}", token: next())))
        #expect(!isHit(exchange("{\"a\":2}", token: next())))
        #expect(!isHit(exchange("{\"a\":1} ", token: next())))
        #expect(!isHit(version: "2", exchange("{\"a\":1}", token: next())))
        #expect(!isHit(exchange("{\"a\":1}", token: next(), method: "PUT")))
        #expect(!isHit(exchange("{\"a\":1}", token: next(), target: "/v1/chat/completions?x")))
        #expect(!isHit(exchange("{\"a\":1}", token: next(), operation: SLUICE_OPERATION_COMPLETION)))
        for name in ["accept", "Accept-Encoding", "accept-language", "authorization", "cookie"] {
            #expect(!isHit(exchange("{\"a\":1}", token: next(), fields: Self.json + [(name, "x")])), "\(name)")
        }
        #expect(!isHit(exchange("{\"a\":1}", token: next(), fields: [("content-type", "text/plain")])))
        let tenant = exchange("{\"a\":1}", token: next())
        tenant.request.pointee.tenant = tenant.texts.bytes("acme")
        #expect(!isHit(tenant))
        // What is none of the answer's business.
        #expect(isHit(exchange("{\"a\":1}", token: next(), fields: Self.json + [("user-agent", "x")])))
        // Bytes that move from one field into the next.
        let moved = exchange("{\"a\":1}", token: next())
        moved.request.pointee.payload.content_type = moved.texts.bytes("application/jso")
        #expect(!isHit(moved))
    }

    @Test func tensorsAreComparedByWhatTheyHold() throws {
        let filter = try FilterUnderTest("Cache", host, config: ["match": "unified"])
        func tensors(
            _ token: UInt64, id: String, body: String, name: String = "x", shape: [Int64] = [1, 2], datatype: Int32 = 2,
            data: [UInt8] = [1, 2], region: String = "", parameter: Int64 = 5
        ) -> FakeExchange {
            let made = exchange(body, token: token, operation: SLUICE_OPERATION_INFER)
            var tensor = sluice_tensor()
            tensor.name = made.texts.bytes(name)
            tensor.datatype = UInt32(datatype)
            tensor.rank = UInt32(shape.count)
            tensor.shape = made.texts.array(shape)
            tensor.data = made.texts.bytes(data)
            tensor.region = made.texts.bytes(region)
            var value = sluice_parameter()
            value.name = made.texts.bytes("p")
            value.kind = UInt32(SLUICE_PARAMETER_INT64)
            value.integer = parameter
            tensor.parameters = made.texts.array([value])
            tensor.parameter_count = 1
            made.request.pointee.id = made.texts.bytes(id)
            made.request.pointee.payload = sluice_payload()
            made.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
            made.request.pointee.payload.tensors = made.texts.array([tensor])
            made.request.pointee.payload.tensor_count = 1
            return made
        }
        let first = tensors(1, id: "a", body: "one form")
        #expect(ask(filter, first) == SLUICE_OK)
        var output = sluice_tensor()
        output.name = first.texts.bytes("y")
        output.datatype = UInt32(SLUICE_DATATYPE_FP32)
        output.rank = 1
        output.shape = first.texts.array([1])
        output.data = first.texts.bytes([0, 0, 128, 63])
        var response = sluice_response()
        response.model = first.texts.bytes("m")
        response.version = first.texts.bytes("1")
        response.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        response.payload.tensors = first.texts.array([output])
        response.payload.tensor_count = 1
        #expect(filter.onResponse(first, &response) == SLUICE_OK)
        #expect(status(first) == "sluice; fwd=miss; stored")

        var answer = sluice_response()
        // What the answer points to lives as long as its exchange.
        let second = tensors(2, id: "b", body: "another form")
        defer { withExtendedLifetime(second) {} }
        #expect(ask(filter, second, &answer) == SLUICE_ANSWER)
        let found = try #require(answer.payload.tensors?.pointee)
        #expect(text(found.name) == "y" && found.rank == 1 && found.shape[0] == 1)
        #expect((0..<found.data.size).map { found.data.data[$0] } == [0, 0, 128, 63])
        #expect(UInt(bitPattern: found.data.data) % 16 == 0)
        #expect(answer.message == nil)
        #expect(ask(filter, tensors(3, id: "a", body: "one form", name: "z")) == SLUICE_OK)
        #expect(ask(filter, tensors(4, id: "a", body: "one form", shape: [2, 1])) == SLUICE_OK)
        #expect(ask(filter, tensors(5, id: "a", body: "one form", datatype: 6)) == SLUICE_OK)
        #expect(ask(filter, tensors(6, id: "a", body: "one form", data: [1, 3])) == SLUICE_OK)
        #expect(ask(filter, tensors(7, id: "a", body: "one form", parameter: 6)) == SLUICE_OK)
        let shared = tensors(8, id: "a", body: "one form", region: "r")
        #expect(ask(filter, shared) == SLUICE_OK)
        tell(filter, shared, "unkept")
        #expect(status(shared) == "sluice; fwd=bypass")
    }

    @Test func clientsMayOptOut() throws {
        let filter = try FilterUnderTest("Cache", host)
        func with(_ value: String, token: UInt64, name: String = "Cache-Control") -> FakeExchange {
            exchange(token: token, fields: Self.json + [(name, value)])
        }
        // Never kept.
        let unkept = with("max-age=5, No-Store", token: 1)
        #expect(ask(filter, unkept) == SLUICE_OK)
        tell(filter, unkept, "unkept")
        #expect(status(unkept) == "sluice; fwd=request")
        #expect(ask(filter, with("only-if-cached", token: 2)) == SLUICE_DEADLINE_EXCEEDED)
        // Kept, but not used by who wants a new one, whose answer takes its place.
        let first = exchange(token: 3)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "old")
        for (index, name) in ["cache-control", "pragma"].enumerated() {
            let fresh = with("no-cache", token: UInt64(4 + index), name: name)
            #expect(ask(filter, fresh) == SLUICE_OK)
            tell(filter, fresh, "new")
        }
        var answer = sluice_response()
        let cached = with("only-if-cached", token: 6)
        #expect(ask(filter, cached, &answer) == SLUICE_ANSWER)
        withExtendedLifetime(cached) { #expect(text(answer.payload.raw) == "new") }
        #expect(ask(filter, with("no-store", token: 7)) == SLUICE_OK)
        host.advance(by: 3_000_000_000)
        #expect(ask(filter, with("max-age=3", token: 8)) == SLUICE_ANSWER)
        #expect(ask(filter, with("max-age=2", token: 9)) == SLUICE_OK)
        #expect(ask(filter, with("max-age=\"x", token: 10)) == SLUICE_OK)
        #expect(ask(filter, with("private=\"a, no-store\", foo", token: 11)) == SLUICE_ANSWER)
    }

    /// Also where the cache is not asked (RFC 9111 §5.2.1.7), unless that is to change something.
    @Test(
        arguments: [
            ("HEAD", []), ("OPTIONS", []), ("GET", [("range", "bytes=0-1")]), ("GET", [("connection", "x-own")]),
            ("PUT", []), ("DELETE", []), ("POST", [("range", "bytes=0-1")]),
        ] as [(String, [(String, String)])])
    func whoWantsAKeptAnswerGetsNoOther(method: String, fields: [(String, String)]) throws {
        let filter = try FilterUnderTest("Cache", host, config: ["operations": ["other"]])
        func ask(_ token: UInt64, _ more: [(String, String)]) -> sluice_status {
            self.ask(
                filter,
                exchange(
                    "", token: token, fields: fields + more, method: method, operation: SLUICE_OPERATION_OTHER))
        }
        #expect(ask(1, []) == SLUICE_OK)
        let isSafe = !["PUT", "DELETE", "POST"].contains(method)
        #expect(ask(2, [("cache-control", "only-if-cached")]) == (isSafe ? SLUICE_DEADLINE_EXCEEDED : SLUICE_OK))
        #expect(host.metric("bypassed_total")?.value == (isSafe ? 1 : 2))
    }

    @Test(
        arguments: [
            (201, []), (404, []), (503, []), (206, []), (200, [("cache-control", "private")]),
            (200, [("Cache-Control", "max-age=0")]), (200, [("cache-control", "no-cache=\"x\"")]),
            (200, [("cache-control", "s-maxage=1, max-age=100"), ("age", "1")]), (200, [("set-cookie", "a=b")]),
            (200, [("vary", "*")]), (200, [("vary", "accept, x-other")]),
            (200, [("content-type", "text/event-stream; charset=utf-8")]),
        ] as [(UInt32, [(String, String)])])
    func whatIsNotToBeKeptIsNot(status code: UInt32, fields: [(String, String)]) throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        #expect(tell(filter, first, "a", status: code, fields: fields) == SLUICE_OK)
        #expect(status(first) == "sluice; fwd=miss")
        #expect(ask(filter, exchange(token: 2)) == SLUICE_OK)
        #expect(host.metric("not_stored_total")?.value == 1)
    }

    @Test func freshnessIsTheAnswersWhereThatIsShorter() throws {
        let filter = try FilterUnderTest("Cache", host, config: ["ttl_seconds": 60])
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(
            filter, first, "a",
            fields: [("cache-control", "max-age=5"), ("age", "2"), ("vary", "Accept, accept-encoding")])
        host.advance(by: 2_900_000_000)
        #expect(ask(filter, exchange(token: 2)) == SLUICE_ANSWER)
        host.advance(by: 100_000_000)
        #expect(ask(filter, exchange(token: 3)) == SLUICE_OK)
    }

    /// Only what says its size, and is small, is gathered; everything else streams.
    @Test(
        arguments: [
            ([("content-length", "5")], true), ([("content-length", "64")], true), ([("content-length", "65")], false),
            ([], false), ([("content-length", "5"), ("content-type", "text/event-stream")], false),
            ([("content-length", "x")], false), ([("content-length", "5"), ("content-encoding", "gzip")], false),
            ([("content-length", "5"), ("cache-control", "no-store")], false),
        ] as [([(String, String)], Bool)])
    func streamsStayStreams(fields: [(String, String)], gathers: Bool) throws {
        let filter = try FilterUnderTest("Cache", host, config: ["max_answer_bytes": 64])
        let first = exchange(token: 1)
        first.mayGather = true
        #expect(ask(filter, first) == SLUICE_OK)
        #expect(tell(filter, first, "", fields: fields, state: SLUICE_BODY_STREAMING) == SLUICE_OK)
        #expect(first.gathers == gathers)
        #expect(status(first) == (gathers ? nil : "sluice; fwd=miss"))
        #expect(filter.table.pointee.needs(filter.instance) == UInt32(SLUICE_FILTER_REQUEST_BODY))
    }

    @Test func aGatewayThatCannotGatherServesOn() throws {
        host.missingServices = ["sluice.gather/1"]
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange(token: 1)
        first.mayGather = true
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "", fields: [("content-length", "5")], state: SLUICE_BODY_STREAMING)
        #expect(status(first) == "sluice; fwd=miss")
    }

    @Test func anotherModelsAnswerIsNotKept() throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "from a fallback", version: "2")
        #expect(ask(filter, exchange(token: 2)) == SLUICE_OK)
    }

    @Test func boundsHold() throws {
        // Under a name of its own, for its gauges.
        let filter = try FilterUnderTest(
            "Cache", host, config: ["max_bytes": 65_536, "max_entries": 1_000, "max_answer_bytes": 4_096],
            name: "of-bounds")
        func keep(_ name: Int, _ size: Int) {
            let made = exchange("\(name)", token: UInt64(name + 1))
            guard ask(filter, made) == SLUICE_OK else { return }
            tell(filter, made, String(repeating: "x", count: size))
        }
        keep(0, 5_000)
        #expect(host.metric("not_stored_total")?.value == 1)
        for name in 1...100 {
            keep(name, 2_000)
            #expect(
                ask(filter, exchange("1", token: 5_000)) == SLUICE_ANSWER, "what is asked for again and again stays")
        }
        host.advance(by: 1_000_000_000)
        #expect((host.metric("bytes")?.value ?? .infinity) <= 65_536)
        #expect((host.metric("bytes")?.value ?? 0) > 60_000)
        let evicted = host.metric("evictions_total")?.value ?? 0
        #expect(evicted + (host.metric("entries")?.value ?? 0) == 100)
        // A request that is too large is not looked at.
        let large = exchange(String(repeating: "y", count: 300_000), token: 9_000)
        #expect(ask(filter, large) == SLUICE_OK)
        #expect(large.edits.isEmpty)
        tell(filter, large, "unkept")
        #expect(status(large) == "sluice; fwd=bypass")
    }

    @Test func beforeRoutingItCachesNothingAndSaysSoOnce() throws {
        let filter = try FilterUnderTest("Cache", host)
        for token in 1...2 as ClosedRange<UInt64> {
            let made = exchange(token: token)
            made.request.pointee.version = made.texts.bytes("latest")
            var answer = sluice_response()
            answer.model = made.request.pointee.model
            answer.version = made.request.pointee.version
            #expect(filter.table.pointee.on_request(filter.instance, made.handle, made.request, &answer) == SLUICE_OK)
        }
        #expect(host.log.count == 1)
        #expect(host.metric("bypassed_total")?.value == 2)
    }
}
