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
}
