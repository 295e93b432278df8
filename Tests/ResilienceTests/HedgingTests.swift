import Testing

@testable import Resilience

@Suite("Hedging") struct HedgingTests {
    private final class Memory {
        let cell = UnsafeMutablePointer<LatencyHistogramCell>.allocate(capacity: 1)
        init() { cell.initialize(to: LatencyHistogramCell()) }
        deinit {
            cell.deinitialize(count: 1)
            cell.deallocate()
        }
        var histogram: LatencyHistogram { LatencyHistogram(cell) }
    }

    @Test func everyLatencyIsBelowTheEdgeOfItsBucketAndCloseToIt() {
        var value: UInt64 = 1 << 10
        while value < 1 << 39 {
            let edge = LatencyHistogram.edge(LatencyHistogram.bucket(value))
            #expect(edge > value && Double(edge) <= Double(value) * 1.0626, "\(value)")
            value += max(value / 37, 1)
        }
        #expect(LatencyHistogram.bucket(0) == 0)
        #expect(LatencyHistogram.bucket(.max) == LatencyHistogramCell.buckets - 1)
    }

    @Test func quantilesAreThoseOfTheSamples() throws {
        let memory = Memory()
        #expect(memory.histogram.quantile(0.5) == nil)
        for latency in 1...1_000 as ClosedRange<UInt64> { memory.histogram.record(latency * 1_000_000) }
        for share in [0.5, 0.9, 0.95, 0.99] {
            let found = try #require(memory.histogram.quantile(share))
            let exact = share * 1_000 * 1_000_000
            #expect(Double(found) >= exact && Double(found) <= exact * 1.07, "\(share): \(found)")
        }
    }

    /// What was is forgotten by and by.
    @Test func aPoolThatBecameFasterIsKnownAsSuch() throws {
        let memory = Memory()
        for _ in 0..<9_000 { memory.histogram.record(100_000_000) }
        for _ in 0..<60_000 { memory.histogram.record(1_000_000) }
        #expect(memory.histogram.count <= LatencyHistogram.samplesAtMost)
        #expect(try #require(memory.histogram.quantile(0.95)) < 2_000_000)
    }

    @Test func withoutEnoughAnswersThereIsNoHedge() throws {
        let memory = Memory()
        var settings = HedgeSettings()
        for _ in 0..<99 { memory.histogram.record(5_000_000) }
        #expect(settings.delay(memory.histogram) == nil)
        memory.histogram.record(5_000_000)
        let delay = try #require(settings.delay(memory.histogram))
        #expect((5_000_000...5_400_000).contains(delay))
        settings.minimumDelay = 8_000_000
        #expect(settings.delay(memory.histogram) == 8_000_000)
        settings.delay = 3_000_000
        #expect(settings.delay(memory.histogram) == 3_000_000)
    }

    @Test(arguments: [0.0, 0.05, 0.5, 1])
    func hedgesAreAShareOfRequests(share: Double) {
        var settings = HedgeSettings()
        settings.share = share
        var allowance = HedgeAllowance()
        var hedges = 0
        for request in 1...10_000 {
            allowance.requestBegins(settings)
            if allowance.take() { hedges += 1 }
            #expect(Double(hedges) <= Double(request) * share + 0.0001)
        }
        #expect(Double(hedges) >= 10_000 * share - 1)
        // A quiet time saves up a few.
        for _ in 0..<10_000 { allowance.requestBegins(settings) }
        var burst = 0
        while allowance.take() { burst += 1 }
        #expect(burst <= 10)
    }
}
