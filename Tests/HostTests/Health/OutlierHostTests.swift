import Configuration
import Resilience
import SluiceHashing
import Testing

@testable import Host

/// How the detector knows the endpoints of a pool.
@Suite struct OutlierHostTests {
    private static func endpoint(
        _ registry: EndpointRegistry, _ port: Int
    ) throws -> UnsafeMutablePointer<Endpoint> {
        try registry.endpoint(for: EndpointRegistryTests.settings("127.0.0.1:\(port)")).get()
    }

    /// A table of two endpoints of whom nothing is known in their pool.
    private static func table(_ registry: EndpointRegistry) throws -> EndpointTable {
        let list = try (1...2).map { port in
            let member = UnsafeMutablePointer<PoolMember>.allocate(capacity: 1)
            member.initialize(to: PoolMember())
            return PoolEndpoint(
                endpoint: try endpoint(registry, port), member: member, weight: 1, zone: "", metrics: 0)
        }
        return EndpointTable(list, zone: "")
    }

    private static func free(_ table: EndpointTable) {
        for index in 0..<table.count {
            table.members[index].pointee.deallocate()
            table.members[index].deallocate()
        }
        table.deallocate()
    }

    /// A configuration without the pool, for so long that its endpoints are forgotten, and then one with it.
    @Test func countsOfAnEndpointThatWasForgottenBeginAnew() throws {
        let registry = EndpointRegistry(workerCount: 1)
        var settings = OutlierSettings()
        settings.minimumHosts = 2
        settings.minimumRequests = 1
        var detector = OutlierDetector(settings)
        var random = SplitMix64(seed: 1)
        let before = try Self.table(registry)
        #expect(detector.setHosts(before.hosts).isEmpty)
        for index in 0..<before.count {
            for _ in 0..<40 {
                let counter = OutlierCounter(before.members[index].pointee.outlier)
                _ = counter.record(failed: false, latency: 1, threshold: 5)
            }
        }
        #expect(detector.evaluate(before.hosts.map(\.totals), now: 1, random: &random).isEmpty)
        let places = (0..<before.count).map { before.targets[$0] }
        Self.free(before)
        registry.sweep(inUse: [], now: 0)
        for question in registry.questions(now: EndpointRegistry.graceNs) { _ = registry.forgotten(question) }
        let after = try Self.table(registry)
        defer { Self.free(after) }
        #expect(Set((0..<after.count).map { after.targets[$0] }) == Set(places))
        #expect(detector.setHosts(after.hosts).isEmpty)
        #expect(detector.evaluate(after.hosts.map(\.totals), now: 2, random: &random).isEmpty)
    }
}
