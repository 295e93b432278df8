import SluiceABI
import Testing

/// What the filter `cache` has for requests that nobody else has answered.
extension CacheTests {
    /// What the filter has for a request that nobody else has answered.
    private func fail(_ filter: FilterUnderTest, _ exchange: FakeExchange) -> (status: sluice_status?, body: String) {
        var answer = sluice_response()
        answer.model = exchange.texts.bytes("m")
        answer.version = exchange.texts.bytes("1")
        let status = filter.onFailure(exchange, SLUICE_UNAVAILABLE, &answer)
        guard status == SLUICE_ANSWER else { return (status, "") }
        let body = text(answer.payload.raw)
        // The host shows it to the filter once more.
        #expect(filter.onResponse(exchange, &answer) == SLUICE_OK)
        return (status, body)
    }

    @Test func anOldAnswerStandsInForAnErrorForAWhile() throws {
        let filter = try FilterUnderTest("Cache", host, config: ["ttl_seconds": 10, "stale_seconds": 20])
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        // It was never answered before.
        #expect(fail(filter, first).status == SLUICE_OK)
        tell(filter, first, "good", fields: Self.json + [("age", "2")])
        host.advance(by: 10_000_000_000)
        let second = exchange(token: 2)
        #expect(ask(filter, second) == SLUICE_OK)
        #expect(fail(filter, second) == (SLUICE_ANSWER, "good"))
        #expect(status(second) == "sluice; fwd=stale")
        #expect(second.edits.contains { $0.name == "age" && $0.value == "12" })
        // Once: the answer may be what fails.
        #expect(fail(filter, second).status == SLUICE_OK)
        // One that was refused with a status keeps the good one.
        let third = exchange(token: 3)
        #expect(ask(filter, third) == SLUICE_OK)
        tell(filter, third, "bad", status: 500)
        host.advance(by: 19_999_999_999)
        let fourth = exchange(token: 4)
        #expect(ask(filter, fourth) == SLUICE_OK)
        #expect(fail(filter, fourth) == (SLUICE_ANSWER, "good"))
        host.advance(by: 1)
        let fifth = exchange(token: 5)
        #expect(ask(filter, fifth) == SLUICE_OK)
        #expect(fail(filter, fifth).status == SLUICE_OK)
        #expect(host.metric("rescues_total")?.value == 2)
        #expect(host.metric("hits_total")?.value == 0)
        #expect(host.metric("stored_total")?.value == 1)
    }

    @Test func anAnswerThatCameMeanwhileIsNoOldOne() throws {
        let filter = try FilterUnderTest("Cache", host)
        let (first, second) = (exchange(token: 1), exchange(token: 2))
        #expect(ask(filter, first) == SLUICE_OK)
        #expect(ask(filter, second) == SLUICE_OK)
        tell(filter, first, "good")
        #expect(fail(filter, second) == (SLUICE_ANSWER, "good"))
        #expect(status(second) == "sluice; fwd=miss")
    }

    /// Endpoints and clients may forbid it (RFC 9111 §4.2.4, §5.2.1; RFC 5861 §4).
    @Test(
        arguments: [
            ("max-age=5", "", 4, true), ("max-age=5", "", 3_600, true), ("max-age=5", "", 3_606, false),
            ("max-age=5, must-revalidate", "", 6, false), ("max-age=5, proxy-revalidate", "", 6, false),
            ("s-maxage=5", "", 6, false), ("max-age=5, stale-if-error=10", "", 14, true),
            ("max-age=5, stale-if-error=10", "", 16, false), ("max-age=5, stale-if-error=9999", "", 3_606, false),
            ("max-age=5", "no-cache", 6, false), ("max-age=5", "max-age=5", 6, false),
            ("max-age=5", "max-age=60", 6, true),
        ])
    func whoForbidsItGetsNoOldAnswer(answer: String, request: String, after: UInt64, used: Bool) throws {
        let filter = try FilterUnderTest("Cache", host)
        let first = exchange(token: 1)
        #expect(ask(filter, first) == SLUICE_OK)
        tell(filter, first, "good", fields: Self.json + [("cache-control", answer)])
        host.advance(by: after * 1_000_000_000)
        let fields = request.isEmpty ? [] : [("cache-control", request)]
        let second = exchange(token: 2, fields: Self.json + fields)
        // While it is fresh it is no matter of failures.
        if ask(filter, second) == SLUICE_ANSWER {
            #expect(used && after < 5)
        } else {
            #expect(fail(filter, second).status == (used ? SLUICE_ANSWER : SLUICE_OK))
        }
    }
}
