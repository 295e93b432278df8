import SluiceABI
import Testing

/// Requests that look alike to the filter `cache` and are not, and answers that it must not keep.
extension CacheTests {
    private func keep(_ filter: FilterUnderTest, _ body: String, fields: [(String, String)] = json) {
        let first = exchange("{}", token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, body, fields: fields)
    }

    /// Endpoints get the authority as it came.
    @Test func anotherAuthorityIsAnotherRequest() throws {
        let filter = try FilterUnderTest("Cache", host)
        keep(filter, "of gateway.test")
        #expect(ask(filter, exchange("{}", token: 2, fields: Self.json + [("host", "evil.test")])) == SLUICE_OK)
        #expect(ask(filter, exchange("{}", token: 3)) == SLUICE_ANSWER)
    }

    @Test(arguments: ["proxy-authorization", "X-Api-Key", "api-key"])
    func credentialsMakeAnotherRequest(name: String) throws {
        let filter = try FilterUnderTest("Cache", host)
        keep(filter, "of nobody")
        #expect(ask(filter, exchange("{}", token: 2, fields: Self.json + [(name, "secret")])) == SLUICE_OK)
    }

    /// The endpoint would not see what the key counts (RFC 9110 §7.6.1).
    @Test(arguments: [("accept", true), ("keep-alive, content-type", true), ("close", false), ("Keep-Alive", false)])
    func fieldsThatDoNotReachTheEndpointMakeNoKey(option: String, passesBy: Bool) throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange("{}", token: 1, fields: Self.json + [("connection", option)])
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "poison")
        #expect((status(first) == "sluice; fwd=bypass") == passesBy)
        #expect(ask(filter, exchange("{}", token: 2)) == (passesBy ? SLUICE_OK : SLUICE_ANSWER))
    }

    /// What changes something reaches the endpoint each time, and nothing is answered by what another method was.
    @Test(arguments: ["message", "unified"], ["DELETE", "PUT", "PATCH", "OPTIONS", "POST"])
    func methodsAreKeptApart(match: String, method: String) throws {
        let filter = try FilterUnderTest(
            "Cache", host, config: ["match": .scalar(match), "operations": ["other"]])
        let read = exchange("", token: 1, method: "GET", target: "/v1/files/x", operation: SLUICE_OPERATION_OTHER)
        #expect(ask(filter, read) == SLUICE_OK)
        tell(filter, read, "content")
        for token in 2...3 {
            let other = exchange(
                "", token: UInt64(token), method: method, target: "/v1/files/x", operation: SLUICE_OPERATION_OTHER)
            let verdict = ask(filter, other)
            if method == "POST" {
                #expect(verdict == (token == 2 ? SLUICE_OK : SLUICE_ANSWER))
            } else {
                #expect(verdict == SLUICE_OK)
            }
            if verdict == SLUICE_OK { tell(filter, other, "done") }
        }
    }

    @Test func pathsOfOneOperationAreKeptApart() throws {
        let filter = try FilterUnderTest("Cache", host, config: ["match": "unified"])
        keep(filter, "a chat")
        #expect(ask(filter, exchange("{}", token: 2, target: "/v1/responses")) == SLUICE_OK)
    }

    @Test(
        arguments: [
            ([("expires", "0")], false), ([("expires", "Thu, 01 Jan 2037 00:00:00 GMT")], false),
            ([("expires", "0"), ("cache-control", "max-age=5")], true), ([], true),
        ] as [([(String, String)], Bool)])
    func whatExpiresByAClockIsNotKept(fields: [(String, String)], kept: Bool) throws {
        let filter = try FilterUnderTest("Cache", host)
        keep(filter, "a", fields: Self.json + fields)
        #expect(ask(filter, exchange("{}", token: 2)) == (kept ? SLUICE_ANSWER : SLUICE_OK))
    }

    /// Answers out of a batch have no message, but what their endpoint says to caches.
    @Test(arguments: [("no-store", 0, false), ("max-age=5", 4, true), ("max-age=5", 5, false), ("", 59, true)])
    func anAnswerOutOfABatchIsKeptAsLongAsItMayBe(words: String, after: UInt64, kept: Bool) throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange("{}", token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        var response = sluice_response()
        response.model = first.texts.bytes("m")
        response.version = first.texts.bytes("1")
        response.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
        response.payload.raw = first.texts.bytes("a")
        if !words.isEmpty {
            response.fields = first.texts.array([
                sluice_field(name: first.texts.bytes("cache-control"), value: first.texts.bytes(words))
            ])
            response.field_count = 1
        }
        #expect(filter.onResponse(first, &response) == SLUICE_OK)
        host.advance(by: after * 1_000_000_000)
        #expect(ask(filter, exchange("{}", token: 2)) == (kept ? SLUICE_ANSWER : SLUICE_OK))
    }

    /// An exchange that ended with an error has left nothing behind, should its token come again.
    @Test func whatEndedWithAnErrorIsForgotten() throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange("{}", token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        filter.onError(first, SLUICE_UNAVAILABLE)
        tell(filter, first, "of somebody else")
        #expect(status(first) == nil)
        #expect(ask(filter, exchange("{}", token: 2)) == SLUICE_OK)
    }

    @Test func mistakesAreTold() throws {
        let mistakes: [([(String, ConfigTree)], String)] = [
            ([("match", "some")], "no way to compare"), ([("operations", [])], "nothing would be cached"),
            ([("operations", ["upgrade"])], "no operation that is cached"), ([("vary", ["a b"])], "no header's name"),
            ([("max_bytes", 65_536)], "does not fit"), ([("ttl_seconds", 0)], "out of range"),
            ([("tll", 1)], "unknown key"),
        ]
        for (config, message) in mistakes {
            let host = FakeHost()
            #expect(throws: LoadedPlugin.Failure.self) { try FilterUnderTest("Cache", host, config: .mapping(config)) }
            #expect(host.configurationErrors.contains { $0.text.contains(message) }, "\(host.configurationErrors)")
        }
    }
}
