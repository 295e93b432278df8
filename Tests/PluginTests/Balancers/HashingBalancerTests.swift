import SluiceABI
import Testing

/// What ring hash, Maglev and bounded load have in common.
@Suite struct HashingBalancerTests {
    static let all = ["RingHash", "Maglev", "BoundedLoad"]
    let host = FakeHost()

    static func sessions(_ count: Int) -> [FakeExchange] {
        (0..<count).map { number in
            let exchange = FakeExchange()
            exchange.request.pointee.session = exchange.texts.bytes("session-\(number)")
            return exchange
        }
    }

    @Test(arguments: all) func aSessionStaysWithItsEndpointInEveryWorker(name: String) throws {
        let balancers = try (0..<3).map { try BalancerUnderTest(name, host, worker: UInt32($0), workers: 3) }
        let pool = FakePool(count: 10)
        for exchange in Self.sessions(200) {
            #expect(Set(balancers.map { $0.pick(pool, exchange) }).count == 1)
        }
    }

    @Test(arguments: all) func theOrderOfThePoolDoesNotMatter(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let pool = FakePool(count: 10)
        let turned = FakePool(Array(repeating: (inFlight: 0, weight: 1), count: 10), names: pool.names.reversed())
        let sessions = Self.sessions(200)
        let before = sessions.map { balancer.pick(pool, $0) }
        #expect(sessions.map { 9 - balancer.pick(turned, $0) } == before)
    }

    @Test(arguments: all) func sharesAreEvenEnough(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let pool = FakePool(count: 10)
        var seen = [Int](repeating: 0, count: 10)
        for exchange in Self.sessions(10_000) { seen[Int(balancer.pick(pool, exchange))] += 1 }
        // The ring's shares vary by about 8% with 160 points, Maglev's hardly.
        #expect(seen.allSatisfy { ((name == "Maglev" ? 880 : 700)...1_350).contains($0) }, "\(seen)")
    }

    @Test(arguments: all) func sharesFollowWeights(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let pool = FakePool([(inFlight: 0, weight: 1), (inFlight: 0, weight: 1), (inFlight: 0, weight: 4)])
        var heavy = 0
        for exchange in Self.sessions(6_000) where balancer.pick(pool, exchange) == 2 { heavy += 1 }
        #expect((3_500...4_500).contains(heavy), "\(heavy)")
    }

    /// The least that must move is what the endpoint had: a tenth, and those keys alone.
    @Test(arguments: all) func keysOfOthersStayWhenOneMayNotBeTaken(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let pool = FakePool(count: 10)
        let sessions = Self.sessions(5_000)
        let before = sessions.map { balancer.pick(pool, $0) }
        pool.allow(Set(0..<10).subtracting([4]))
        let during = sessions.map { balancer.pick(pool, $0) }
        var heirs = [Int](repeating: 0, count: 10)
        for (old, new) in zip(before, during) {
            if old == 4 { heirs[Int(new)] += 1 } else { #expect(old == new) }
        }
        #expect(heirs[4] == 0)
        #expect(heirs.filter { $0 > 5 }.count == 9, "\(heirs)")
        pool.allow(Set(0..<10))
        #expect(sessions.map { balancer.pick(pool, $0) } == before)
    }

    @Test(arguments: ["RingHash", "Maglev"]) func fewKeysMoveWhenOneLeaves(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let pool = FakePool(count: 50)
        let smaller = FakePool(
            Array(repeating: (inFlight: 0, weight: 1), count: 49), names: Array(pool.names.dropLast()))
        let sessions = Self.sessions(20_000)
        let before = sessions.map { balancer.pick(pool, $0) }
        let after = sessions.map { balancer.pick(smaller, $0) }
        let had = before.filter { $0 == 49 }.count
        let moved = zip(before, after).filter { $0 != $1 }.count
        #expect(had > 200)
        #expect(Double(moved) <= 1.2 * Double(max(had, 400)), "\(moved) moved, of which \(had) had to")
        if name == "RingHash" { #expect(moved == had) }
    }

    @Test(arguments: all) func onlyThoseThatMayBeTakenAre(name: String) throws {
        let balancer = try BalancerUnderTest(name, host)
        let sessions = Self.sessions(300)
        for eligible: Set<Int> in [[3], [1, 64, 129], [0, 999]] {
            let pool = FakePool(count: 1_000, eligible: eligible)
            let seen = Set(sessions.map { Int(balancer.pick(pool, $0)) })
            #expect(seen == eligible)
        }
        #expect(balancer.pick(FakePool(count: 1), sessions[0]) == 0)
    }

    @Test(arguments: all) func requestsWithoutAKeySpread(name: String) throws {
        let balancer = try BalancerUnderTest(name, host, config: ["hash_on": ["header": "x-user"]])
        let pool = FakePool(count: 4)
        let exchange = FakeExchange()
        var seen = [Int](repeating: 0, count: 4)
        for _ in 0..<4_000 { seen[Int(balancer.pick(pool, exchange))] += 1 }
        #expect(seen.allSatisfy { $0 > 600 }, "\(seen)")
    }

    @Test(arguments: all) func theKeyComesFromWhereItIsSaid(name: String) throws {
        let balancer = try BalancerUnderTest(
            name, host, config: ["hash_on": [["header": "x-user"], ["path": true], ["peer": true]]])
        let pool = FakePool(count: 50)
        func picked(_ path: String, _ user: String?, peer: String = "10.1.1.1:5000", session: String = "") -> UInt32 {
            let exchange = FakeExchange("GET", path, fields: user.map { [("X-User", $0)] } ?? [], peer: peer)
            if !session.isEmpty { exchange.request.pointee.session = exchange.texts.bytes(session) }
            return balancer.pick(pool, exchange)
        }
        // Wherever the request goes, a user's are together; so are those of one path, whoever asks.
        #expect(Set((0..<20).map { picked("/\($0)", "ann") }).count == 1)
        #expect(Set((0..<20).map { picked("/a", nil, peer: "10.1.1.\($0):99") }).count == 1)
        #expect(Set((0..<20).map { picked("/\($0)", nil) }).count > 5)
        #expect(Set((0..<20).map { picked("/", "user-\($0)") }).count > 5)
        // The session that was found stands before all.
        #expect(Set((0..<20).map { picked("/\($0)", "user-\($0)", session: "s") }).count == 1)
    }

    @Test(arguments: all) func refusesKeysThatItDoesNotKnow(name: String) throws {
        let table = try LoadedPlugin(name).table(SLUICE_BALANCER, as: sluice_balancer.self)
        let configs: [ConfigTree] = [["hash": "tenant"], ["hash_on": ["cookies": "a"]], ["hash_on": []]]
        for config in configs {
            #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        }
        #expect(host.configurationErrors.map(\.path) == ["hash", "hash_on.cookies", "hash_on"])
    }

    @Test func numbersOutOfRangeAreRefused() throws {
        let wrong: [(String, ConfigTree)] = [
            ("RingHash", ["points_per_endpoint": 3]), ("Maglev", ["table_size": 1_000]),
            ("Maglev", ["table_size": 65_536]), ("BoundedLoad", ["load_factor": 1]),
        ]
        for (name, config) in wrong {
            let table = try LoadedPlugin(name).table(SLUICE_BALANCER, as: sluice_balancer.self)
            #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        }
        #expect(host.configurationErrors.count == 4)
        #expect(host.configurationErrors[2].text.contains("take 65537"))
    }
}

@Suite struct BoundedLoadTests {
    let host = FakeHost()

    /// One key that everybody asks for: no endpoint has more than a quarter above its share.
    @Test(arguments: [16, 100]) func aHotKeyOverflowsToOthers(count: Int) throws {
        let balancer = try BalancerUnderTest("BoundedLoad", host)
        let pool = FakePool(count: count)
        let hot = HashingBalancerTests.sessions(1)[0]
        for placed in 1...(count * 20) {
            let index = Int(balancer.pick(pool, hot))
            pool.setInFlight(index, pool.inFlight(index) + 1)
            let bound = (1.25 * Double(placed) / Double(count)).rounded(.up)
            #expect(Double(pool.inFlight(index)) <= bound, "attempt \(placed)")
        }
        #expect((0..<count).filter { pool.inFlight($0) > 0 }.count >= count * 3 / 4)
    }

    @Test func loadThatOthersMadeIsSeen() throws {
        let balancer = try BalancerUnderTest("BoundedLoad", host)
        let pool = FakePool(count: 8)
        let session = HashingBalancerTests.sessions(1)[0]
        let home = Int(balancer.pick(pool, session))
        #expect(Int(balancer.pick(pool, session)) == home)
        for index in 0..<8 { pool.setInFlight(index, 10) }
        #expect(Int(balancer.pick(pool, session)) == home)
        // ceil(1.25 × 94 / 8) is 15.
        pool.setInFlight(home, 23)
        #expect(Int(balancer.pick(pool, session)) != home)
        pool.setInFlight(home, 10)
        #expect(Int(balancer.pick(pool, session)) == home)
    }

    @Test func theFactorIsTheConfigured() throws {
        let balancer = try BalancerUnderTest("BoundedLoad", host, config: ["load_factor": 3])
        let pool = FakePool(count: 4)
        let session = HashingBalancerTests.sessions(1)[0]
        for index in 0..<4 { pool.setInFlight(index, 10) }
        let home = Int(balancer.pick(pool, session))
        // 3 × 55 / 4 is 41.
        pool.setInFlight(home, 24)
        #expect(Int(balancer.pick(pool, session)) == home)
    }
}
