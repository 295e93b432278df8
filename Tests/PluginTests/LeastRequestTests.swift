import SluiceABI
import Testing

@Suite struct LeastRequestTests {
    let host = FakeHost()
    let exchange = FakeExchange()

    @Test func picksTheFewestInFlightForItsWeight() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        let pool = FakePool([(inFlight: 3, weight: 1), (inFlight: 1, weight: 1), (inFlight: 4, weight: 4)])
        // 4/1, 2/1, 5/4
        #expect(balancer.pick(pool, exchange) == 2)
        pool.setInFlight(2, 8)
        #expect(balancer.pick(pool, exchange) == 1)
    }

    @Test func breaksTiesByRotation() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 3))
        #expect((0..<6).map { _ in balancer.pick(pool, exchange) } == [1, 2, 0, 1, 2, 0])
    }

    @Test func passesOverThoseThatAreNotEligible() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 70), eligible: [66])
        #expect((0..<5).map { _ in balancer.pick(pool, exchange) } == [66, 66, 66, 66, 66])
    }

    @Test func refusesUnknownKeys() throws {
        let table = try LoadedPlugin("LeastRequest").table(SLUICE_BALANCER, as: sluice_balancer.self)
        let (status, instance) = host.create(table.pointee.base, config: ["wieght": 1])
        #expect(status == SLUICE_INVALID_ARGUMENT)
        #expect(instance == nil)
        #expect(host.configurationErrors.map(\.path) == ["wieght"])
    }
}

/// A balancer's library with one instance of it.
final class BalancerUnderTest {
    private let plugin: LoadedPlugin
    let table: UnsafePointer<sluice_balancer>
    let instance: UnsafeMutableRawPointer

    init(_ name: String, _ host: FakeHost, config: ConfigTree = .null, worker: UInt32 = 0, workers: UInt32 = 1) throws {
        plugin = try LoadedPlugin(name)
        table = try plugin.table(SLUICE_BALANCER, as: sluice_balancer.self)
        let made = host.create(table.pointee.base, config: config, worker: worker, workerCount: workers)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(description: "no instance: status \(made.status), \(host.failure)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    func pick(_ pool: FakePool, _ exchange: FakeExchange) -> UInt32 {
        var asked = pool.asked
        return table.pointee.pick(instance, exchange.handle, exchange.request, &asked)
    }
}

/// Endpoints with their loads, as a balancer sees them.
final class FakePool {
    private let texts = CTexts()
    private let loads: UnsafeMutablePointer<sluice_load>
    private(set) var asked: sluice_pick

    /// All are eligible unless `eligible` names some.
    init(_ endpoints: [(inFlight: UInt32, weight: UInt32)], eligible: Set<Int>? = nil) {
        let texts = texts
        let loads = texts.mutable(
            endpoints.map { endpoint in
                var load = sluice_load()
                load.in_flight = endpoint.inFlight
                load.healthy = 1
                return load
            })
        self.loads = loads
        let list = endpoints.enumerated().map { index, endpoint in
            sluice_endpoint(
                id: UInt64(index), address: texts.bytes("10.0.0.\(index):80"), weight: endpoint.weight, reserved: 0,
                load: UnsafePointer(loads + index))
        }
        var bits = [UInt64](repeating: 0, count: (endpoints.count + 63) / 64)
        let chosen = eligible ?? Set(endpoints.indices)
        for index in chosen { bits[index / 64] |= 1 << UInt64(index % 64) }
        asked = sluice_pick(
            endpoints: texts.array(list), count: UInt32(list.count), attempt: 1, eligible: texts.array(bits),
            eligible_count: UInt32(chosen.count), reserved: 0)
    }

    func setInFlight(_ index: Int, _ value: UInt32) { loads[index].in_flight = value }
}
