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

    @Test func retriesLeaveTheTurnsOfFirstAttemptsAlone() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        // What fails at once is always idle: ties alone decide.
        #expect(balancer.firstsAndRetries(count: 2, failing: 0, exchange, of: 6).firsts == [1, 0, 1, 0, 1, 0])
        let (firsts, retries) = balancer.firstsAndRetries(count: 3, failing: 0, exchange, of: 12)
        #expect(firsts == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
        #expect(Set(retries) == [1, 2])
    }

    @Test func passesOverThoseThatAreNotEligible() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        let pool = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 70), eligible: [66])
        #expect((0..<5).map { _ in balancer.pick(pool, exchange) } == [66, 66, 66, 66, 66])
    }

    /// Against the plain search, over loads, weights and eligible endpoints drawn at random.
    @Test(arguments: [1, 63, 64, 65, 200]) func findsTheLeastWhereverItIs(count: Int) throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        var random = Numbers(seed: UInt64(count))
        for round in 0..<60 {
            let weights: UInt32 = round % 2 == 0 ? 1 : 5
            let pool = FakePool(
                (0..<count).map { _ in
                    (inFlight: random.below(9), weight: weights == 1 ? 3 : 1 + random.below(weights))
                },
                eligible: Set((0..<count).filter { _ in random.below(3) > 0 } + [Int(random.below(UInt32(count)))]))
            let picked = Int(balancer.pick(pool, exchange))
            let cost = { (index: Int) in
                Double(pool.inFlight(index) + 1) / Double(pool.asked.endpoints[index].weight)
            }
            #expect(pool.isEligible(picked))
            let least = (0..<count).filter(pool.isEligible).map(cost).min() ?? 0
            #expect(cost(picked) == least)
        }
    }

    @Test func looksAtPartsOfALargePoolInTurn() throws {
        let balancer = try BalancerUnderTest("LeastRequest", host)
        let pool = FakePool(Array(repeating: (inFlight: 5, weight: 1), count: 1_000))
        pool.setInFlight(700, 1)
        let picked = (0..<2).map { _ in balancer.pick(pool, exchange) }
        #expect(picked.contains(700), "\(picked)")
        // Wherever the only one that may be taken stands, it is found.
        for index in [0, 511, 512, 999] {
            pool.allow([index])
            for _ in 0..<3 { #expect(balancer.pick(pool, exchange) == UInt32(index)) }
        }
        // Of those outside of the part that is looked at, the least busy too.
        let far = FakePool(Array(repeating: (inFlight: 5, weight: 1), count: 4_000), eligible: [3_000, 3_001])
        far.setInFlight(3_001, 1)
        for _ in 0..<8 { #expect(balancer.pick(far, exchange) == 3_001) }
        for count in [4_000, 600, 3] {
            let other = FakePool(count: count)
            for _ in 0..<9 { #expect(balancer.pick(other, exchange) < UInt32(count)) }
        }
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
    private let host: FakeHost
    let table: UnsafePointer<sluice_balancer>
    let instance: UnsafeMutableRawPointer
    private var told: FakePool?

    init(_ name: String, _ host: FakeHost, config: ConfigTree = .null, worker: UInt32 = 0, workers: UInt32 = 1) throws {
        self.host = host
        plugin = try LoadedPlugin(name)
        table = try plugin.table(SLUICE_BALANCER, as: sluice_balancer.self)
        let made = host.create(table.pointee.base, config: config, worker: worker, workerCount: workers)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(description: "no instance: status \(made.status), \(host.failure)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    /// Tells the balancer of the pool first when it is another than the last one.
    func pick(_ pool: FakePool, _ exchange: FakeExchange, attempt: UInt32 = 1) -> UInt32 {
        if told !== pool {
            table.pointee.on_endpoints?(instance, pool.asked.endpoints, pool.asked.count)
            told = pool
        }
        var asked = pool.asked
        asked.attempt = attempt
        return table.pointee.pick(instance, exchange.handle, exchange.request, &asked)
    }

    /// What first attempts and the retries of those that `failing` was asked for are given, by requests that come one
    /// after the other.
    func firstsAndRetries(
        count: Int, failing: UInt32, _ exchange: FakeExchange, of requests: Int
    ) -> (firsts: [UInt32], retries: [UInt32]) {
        let pool = FakePool(count: count)
        var (firsts, retries): ([UInt32], [UInt32]) = ([], [])
        for _ in 0..<requests {
            pool.allow(Set(0..<count))
            firsts.append(pick(pool, exchange))
            guard firsts.last == failing else { continue }
            // The one that was just tried is none for the next attempt.
            pool.allow(Set(0..<count).subtracting([Int(failing)]))
            retries.append(pick(pool, exchange, attempt: 2))
        }
        return (firsts, retries)
    }

    /// The end of an attempt on the endpoint of that index; times in milliseconds.
    func end(_ index: UInt32, status: sluice_status = SLUICE_OK, http: UInt32 = 200, firstByte: UInt64, total: UInt64) {
        var outcome = sluice_outcome(
            endpoint: index, status: status, http_status: http, attempt: 1, first_byte_ns: firstByte * 1_000_000,
            total_ns: total * 1_000_000, ended_ns: host.monotonic)
        table.pointee.on_result?(instance, &outcome)
    }
}

/// Endpoints with their loads, as a balancer sees them.
final class FakePool {
    private let texts = CTexts()
    private let loads: UnsafeMutablePointer<sluice_load>
    private(set) var asked: sluice_pick
    /// Of each endpoint.
    let names: [String]

    /// All are eligible unless `eligible` names some.
    convenience init(_ endpoints: [(inFlight: UInt32, weight: UInt32)], eligible: Set<Int>? = nil) {
        self.init(endpoints, names: endpoints.indices.map { "10.0.0.\($0):80" }, eligible: eligible)
    }

    /// Idle endpoints of weight 1.
    convenience init(count: Int, eligible: Set<Int>? = nil) {
        self.init(Array(repeating: (inFlight: 0, weight: 1), count: count), eligible: eligible)
    }

    init(
        _ endpoints: [(inFlight: UInt32, weight: UInt32)], names: [String], ids: [UInt64]? = nil,
        eligible: Set<Int>? = nil
    ) {
        self.names = names
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
                id: ids?[index] ?? names[index].utf8.reduce(7) { $0 &* 31 &+ UInt64($1) },
                address: texts.bytes(names[index]), weight: endpoint.weight, reserved: 0,
                load: UnsafePointer(loads + index))
        }
        var bits = [UInt64](repeating: 0, count: (endpoints.count + 63) / 64)
        let chosen = eligible ?? Set(endpoints.indices)
        for index in chosen { bits[index / 64] |= 1 << UInt64(index % 64) }
        asked = sluice_pick(
            endpoints: texts.array(list), count: UInt32(list.count), attempt: 1, eligible: texts.array(bits),
            eligible_count: UInt32(chosen.count), now_ms: 0)
    }

    func setInFlight(_ index: Int, _ value: UInt32) { loads[index].in_flight = value }
    func isEligible(_ index: Int) -> Bool { asked.eligible[index / 64] >> UInt64(index % 64) & 1 != 0 }
    func inFlight(_ index: Int) -> UInt32 { loads[index].in_flight }

    /// Says anew who may be taken.
    func allow(_ eligible: Set<Int>) {
        var bits = [UInt64](repeating: 0, count: (names.count + 63) / 64)
        for index in eligible { bits[index / 64] |= 1 << UInt64(index % 64) }
        asked.eligible = texts.array(bits)
        asked.eligible_count = UInt32(eligible.count)
    }
}

/// Numbers that look random, the same for the same seed: an xorshift.
struct Numbers {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func below(_ bound: UInt32) -> UInt32 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt32(truncatingIfNeeded: (state >> 32) % UInt64(bound))
    }
}
