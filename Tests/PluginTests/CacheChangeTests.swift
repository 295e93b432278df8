import SluiceABI
import Testing

/// What the filter `cache` keeps of paths at which clients change something (RFC 9111 §4.4).
extension CacheTests {
    private func caching(_ more: (String, ConfigTree)...) throws -> FilterUnderTest {
        try FilterUnderTest("Cache", host, config: .mapping([("operations", ["other", "chat"])] + more))
    }

    private func other(
        _ method: String, _ target: String = "/thing", token: UInt64, body: String = "",
        fields: [(String, String)] = []
    ) -> FakeExchange {
        exchange(
            body, token: token, fields: fields, method: method, target: target, operation: SLUICE_OPERATION_OTHER)
    }

    /// Has it answered by the endpoint, which it must reach.
    private func send(_ filter: FilterUnderTest, _ exchange: FakeExchange, _ text: String, status: UInt32 = 200) {
        #expect(ask(filter, exchange) == SLUICE_OK)
        tell(filter, exchange, text, status: status)
    }

    private func isHit(_ filter: FilterUnderTest, _ exchange: FakeExchange) -> Bool {
        ask(filter, exchange) == SLUICE_ANSWER
    }

    @Test(arguments: ["PUT", "DELETE", "PATCH", "POST", "SOMETHING"], [200, 204, 303] as [UInt32])
    func aChangeEndsWhatWasKeptOfItsPath(method: String, status: UInt32) throws {
        let filter = try caching()
        send(filter, other("GET", token: 1), "old")
        send(filter, other("GET", "/thing?view=small", token: 2), "old")
        send(filter, other("GET", "/thing/else", token: 3), "another")
        send(filter, other(method, token: 4, body: "new"), "", status: status)
        #expect(!isHit(filter, other("GET", token: 5)))
        #expect(!isHit(filter, other("GET", "/thing?view=small", token: 6)))
        #expect(isHit(filter, other("GET", "/thing/else", token: 7)))
        // What is kept anew is used.
        send(filter, other("GET", token: 8), "new")
        #expect(isHit(filter, other("GET", token: 9)))
        #expect(host.metric("changes_total")?.value == 1)
    }

    /// Each worker has answers of its own.
    @Test func aChangeEndsWhatOtherWorkersKept() throws {
        let (one, another) = (try caching(), try caching())
        send(one, other("GET", token: 1), "old")
        send(another, other("GET", token: 1), "old")
        send(one, other("DELETE", token: 2), "")
        #expect(!isHit(one, other("GET", token: 3)))
        #expect(!isHit(another, other("GET", token: 3)))
    }

    @Test(
        arguments: [
            ("PUT", 400), ("PUT", 404), ("DELETE", 500), ("PATCH", 503), ("HEAD", 200), ("OPTIONS", 200),
            ("TRACE", 200),
        ] as [(String, UInt32)])
    func whatChangesNothingEndsNothing(method: String, status: UInt32) throws {
        let filter = try caching()
        send(filter, other("GET", token: 1), "kept")
        send(filter, other(method, token: 2), "", status: status)
        #expect(isHit(filter, other("GET", token: 3)))
        #expect(host.metric("changes_total")?.value == 0)
    }

    /// Models are asked by POST, and what is known to be a question changes nothing at all.
    @Test func questionsEndNoAnswersToQuestions() throws {
        let filter = try caching()
        send(filter, exchange("{\"a\":1}", token: 1), "of a chat")
        send(filter, exchange("{\"a\":2}", token: 2), "of another")
        #expect(isHit(filter, exchange("{\"a\":1}", token: 3)))
        #expect(host.metric("changes_total")?.value == 0)
        send(filter, other("POST", token: 4, body: "one"), "one")
        send(filter, other("POST", token: 5, body: "two"), "two")
        #expect(isHit(filter, other("POST", token: 6, body: "one")))
        #expect(isHit(filter, other("POST", token: 7, body: "two")))
        #expect(host.metric("changes_total")?.value == 2)
        // They do when what is asked is another thing.
        send(filter, other("PUT", token: 8), "")
        #expect(!isHit(filter, other("POST", token: 9, body: "one")))
        #expect(isHit(filter, exchange("{\"a\":1}", token: 10)))
    }

    /// A question that was answered from the cache has reached nobody.
    @Test func aHitChangesNothing() throws {
        let filter = try caching()
        send(filter, other("POST", token: 1, body: "q"), "a")
        send(filter, other("GET", token: 2), "kept")
        let again = other("POST", token: 3, body: "q")
        var answer = sluice_response()
        #expect(ask(filter, again, &answer) == SLUICE_ANSWER)
        #expect(filter.onResponse(again, &answer) == SLUICE_OK)
        #expect(isHit(filter, other("GET", token: 4)))
    }

    /// An answer that was asked for before the change may be from before, whenever it comes.
    @Test func anAnswerFromBeforeTheChangeIsNotKept() throws {
        let filter = try caching()
        let early = other("GET", token: 1)
        #expect(ask(filter, early) == SLUICE_OK)
        send(filter, other("PUT", token: 2), "")
        send(filter, other("GET", token: 3), "new")
        tell(filter, early, "old")
        #expect(status(early) == "sluice; fwd=miss")
        var answer = sluice_response()
        let last = other("GET", token: 4)
        #expect(ask(filter, last, &answer) == SLUICE_ANSWER)
        withExtendedLifetime(last) { #expect(text(answer.payload.raw) == "new") }
    }

    /// Nor does it stand in for an error: it was told to be wrong.
    @Test func whatAChangeEndedIsNoOldAnswerEither() throws {
        let filter = try caching(("ttl_seconds", 10))
        send(filter, other("GET", token: 1), "old")
        host.advance(by: 10_000_000_000)
        let waiting = other("GET", token: 2)
        #expect(ask(filter, waiting) == SLUICE_OK)
        send(filter, other("PUT", token: 3), "")
        var answer = sluice_response()
        #expect(filter.onFailure(waiting, SLUICE_UNAVAILABLE, &answer) == SLUICE_OK)
    }

    /// Its head is shown, and then the whole of it.
    @Test func aChangeIsNotedOnce() throws {
        let filter = try caching()
        let change = other("POST", token: 1, body: "q")
        change.mayGather = true
        #expect(ask(filter, change) == SLUICE_OK)
        tell(filter, change, "", fields: [("content-length", "1")], state: SLUICE_BODY_STREAMING)
        #expect(change.gathers)
        tell(filter, change, "a", fields: [("content-length", "1")])
        #expect(status(change) == "sluice; fwd=miss; stored")
        #expect(host.metric("changes_total")?.value == 1)
    }
}
