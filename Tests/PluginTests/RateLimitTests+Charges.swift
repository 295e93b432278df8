import SluiceABI
import Testing

/// What is told of buckets, and counted of charges.
extension RateLimitTests {
    @Test func theFieldsOfARefusalSayHowTheBucketsStand() throws {
        let filter = try filter([
            ["name": "slow", "requests": 2, "per": 20], ["name": "wide", "requests": 10, "per": 100],
            ["name": "tokens", "tokens": 10, "per": 10],
        ])
        func fields(_ operation: Int32 = SLUICE_OPERATION_INFER) -> String? {
            let refused = exchange(operation: operation)
            #expect(filter.onRequest(refused) == SLUICE_RESOURCE_EXHAUSTED)
            return refused.edits.first { $0.name == "RateLimit" }?.value
        }
        #expect(passes(filter, 2) { exchange() } == 2)
        #expect(fields() == "\"slow\";r=0;t=20, \"wide\";r=8;t=20")
        host.advance(by: 4_000_000_000)
        #expect(fields() == "\"slow\";r=0;t=16, \"wide\";r=8;t=16")
        host.advance(by: 5_000_000_000)
        #expect(fields() == "\"slow\";r=0;t=11, \"wide\";r=8;t=11")
        // One that is in debt is full later than an empty one.
        host.advance(by: 100_000_000_000)
        let indebted = exchange(operation: SLUICE_OPERATION_CHAT)
        #expect(filter.onRequest(indebted) == SLUICE_OK)
        answer(filter, indebted, body: Self.usage(10, 15))
        #expect(fields(SLUICE_OPERATION_CHAT) == "\"slow\";r=1;t=10, \"wide\";r=9;t=10, \"tokens\";r=0;t=25")
        #expect(host.failure.hasSuffix("try again in 16 s"))
    }

    /// They are charged for, so they are counted, whether the answer is broken off or cannot be read.
    @Test func whatIsChargedIsCounted() throws {
        let filter = try filter([["tokens": 1_000, "per": "hour", "reserve": 15]], ("headers", "always"))
        func tokens() -> Double? { host.metric("tokens_total")?.value }
        func unmetered() -> Double? { host.metric("unmetered_answers_total")?.value }
        func asked(_ token: UInt64) -> FakeExchange {
            let asked = exchange(operation: SLUICE_OPERATION_CHAT, token: token)
            #expect(filter.onRequest(asked) == SLUICE_OK)
            return asked
        }
        answer(filter, asked(1), type: "text/plain")
        #expect(tokens() == 15 && unmetered() == 1)
        // A stream that is cut after more events than were reserved, and one after its usage.
        let cut = asked(2)
        answer(filter, cut, type: "text/event-stream")
        for _ in 0..<20 { chunk(filter, cut, "data: {\"choices\":[]}\n\n") }
        filter.table.pointee.on_cancel(filter.instance, cut.handle)
        #expect(tokens() == 35 && unmetered() == 2)
        let told = asked(3)
        answer(filter, told, type: "text/event-stream")
        chunk(filter, told, "data: \(Self.usage(20, 20))\n\n")
        filter.table.pointee.on_cancel(filter.instance, told.handle)
        #expect(tokens() == 75 && unmetered() == 2)
        // One that nobody has answered has its work done nevertheless, and is no answer.
        let left = asked(4)
        filter.table.pointee.on_cancel(filter.instance, left.handle)
        #expect(tokens() == 90 && unmetered() == 2)
        filter.onError(asked(5), SLUICE_UNAVAILABLE)
        answer(filter, asked(6), status: 500)
        #expect(tokens() == 90 && unmetered() == 2)
        #expect(self.left(filter) == 1_000 - 90 - 15)
    }
}
