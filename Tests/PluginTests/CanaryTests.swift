import SluiceABI
import Testing

@Suite struct CanaryTests {
    private static func host(_ weights: [UInt32] = [90, 10]) -> FakeHost {
        FakeHost(models: [
            FakeModels.Model(name: "iris", versions: ["1", "2"], weights: weights, labels: [("stable", 0)]),
            FakeModels.Model(name: "web", versions: ["7"]),
        ])
    }

    private static let users = (0..<2_000).map { "user-\($0)" }

    /// The versions that a canary of these weights gives to `users`, each shown by `request`.
    private func versions(
        _ weights: [UInt32], _ config: ConfigTree, _ request: (String) -> FakeExchange
    ) throws -> [UInt32] {
        let host = Self.host(weights)
        let router = try RouterUnderTest("Canary", host, config: config)
        return Self.users.map { user in
            let (status, decision) = router.route(request(user), model: 0, version: "")
            #expect(status == SLUICE_OK)
            return decision.version
        }
    }

    private static func byTenant(_ user: String) -> FakeExchange {
        let exchange = FakeExchange()
        exchange.request.pointee.tenant = exchange.texts.bytes(user)
        return exchange
    }

    private static func bySession(_ user: String) -> FakeExchange {
        let exchange = FakeExchange()
        exchange.request.pointee.session = exchange.texts.bytes(user)
        return exchange
    }

    /// A fixed set of users, so that the shares are the same in each run; three standard deviations of chance.
    @Test func aGrowingCanaryTakesUsersAndGivesNoneBack() throws {
        let ways: [(ConfigTree, (String) -> FakeExchange)] = [
            (["sticky_header": "x-session-id"], { FakeExchange(fields: [("X-Session-Id", $0)]) }),
            (["sticky_cookie": "sid"], { FakeExchange(fields: [("cookie", "a=b; sid=\($0)")]) }),
            (["sticky_tenant": true], Self.byTenant), (.null, Self.bySession),
        ]
        for (config, request) in ways {
            let none = try versions([100, 0], config, request)
            let tenth = try versions([90, 10], config, request)
            let half = try versions([50, 50], config, request)
            let all = try versions([0, 100], config, request)
            #expect(none.allSatisfy { $0 == 0 })
            #expect(abs(tenth.count { $0 == 1 } - 200) <= 40)
            #expect(abs(half.count { $0 == 1 } - 1_000) <= 67)
            #expect(all.allSatisfy { $0 == 1 })
            #expect(zip(tenth, half).allSatisfy { $0 <= $1 }, "nobody goes back")
            // Another instance, another worker or gateway: the same answer.
            #expect(try versions([45, 5], config, request) == tenth)
        }
    }

    @Test func requestsThatSayNothingAreSpread() throws {
        let host = Self.host()
        let router = try RouterUnderTest("Canary", host, config: ["sticky_header": "x-session-id"])
        let chosen = (0..<2_000).map { _ in router.route(FakeExchange(), model: 0, version: "").decision.version }
        #expect(abs(chosen.count { $0 == 1 } - 200) <= 40)
        #expect(host.metric("unkeyed_requests")?.value == 2_000)
        let counted = ["1", "2"].map { host.metric("requests", ["iris", $0])?.value }
        #expect(counted == [0, 1].map { version in Double(chosen.count { $0 == version }) })
        #expect(host.metric("requests", ["web", "7"])?.value == 0)
        // An empty field says nothing either.
        _ = router.route(FakeExchange(fields: [("x-session-id", " ")]), model: 0, version: "")
        #expect(host.metric("unkeyed_requests")?.value == 2_001)
    }

    /// What is closest to the user counts first.
    @Test func theHeaderGoesBeforeCookieSessionAndTenant() throws {
        let config: ConfigTree = ["sticky_header": "x-user", "sticky_cookie": "sid", "sticky_tenant": true]
        let byHeader = try versions([50, 50], config) { FakeExchange(fields: [("x-user", $0)]) }
        let all = try versions([50, 50], config) { user in
            let exchange = FakeExchange(fields: [("x-user", user), ("cookie", "sid=1")])
            exchange.request.pointee.session = exchange.texts.bytes("2")
            exchange.request.pointee.tenant = exchange.texts.bytes("3")
            return exchange
        }
        #expect(all == byHeader)
        let byCookie = try versions([50, 50], config) { FakeExchange(fields: [("cookie", "sid=\($0)")]) }
        #expect(byCookie == byHeader, "it is the key that counts, not where it stood")
        let bySession = try versions([50, 50], config) { user in
            let exchange = Self.bySession(user)
            exchange.request.pointee.tenant = exchange.texts.bytes("3")
            return exchange
        }
        #expect(bySession == byHeader)
    }

    @Test func whatIsAskedForOrDecidedStays() throws {
        let host = Self.host([100, 0])
        let router = try RouterUnderTest("Canary", host)
        for (asked, version) in [("2", 1), ("stable", 0), ("latest", 1)] as [(String, UInt32)] {
            #expect(router.route(FakeExchange(), model: 0, version: asked).decision.version == version)
        }
        #expect(host.metric("requests", ["iris", "2"])?.value == 2)
        #expect(router.route(FakeExchange(), model: 0, version: "3").status == SLUICE_NOT_FOUND)
        #expect(host.failure == "model 'iris' has no version or label '3'")
        let (status, decision) = router.route(FakeExchange(), model: 0, version: "", decided: 1)
        #expect(status == SLUICE_DECLINE)
        #expect(decision.version == 1)
        #expect(router.route(FakeExchange(), model: UInt32.max, version: "").status == SLUICE_DECLINE)
        #expect(router.route(FakeExchange(), model: 9, version: "").status == SLUICE_DECLINE)
        #expect(router.route(FakeExchange(), model: 1, version: "").decision.version == 0)
    }

    @Test func weightsThatSumToZeroAreRefused() throws {
        let host = Self.host([0, 0])
        #expect(throws: LoadedPlugin.Failure.self) { try RouterUnderTest("Canary", host) }
        #expect(host.configurationErrors.map(\.path) == [""])
        #expect(host.configurationErrors.first?.text.contains("versions of model 'iris' sum to zero") == true)
    }

    @Test(
        arguments: [
            (["sticky_header": "x session"], "sticky_header"), (["sticky_cookie": ""], "sticky_cookie"),
            (["sticky_tenant": "yes"], "sticky_tenant"), (["sticky": "x"], "sticky"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsRefusedWhereItIs(config: ConfigTree, path: String) {
        let host = Self.host()
        #expect(throws: LoadedPlugin.Failure.self) { try RouterUnderTest("Canary", host, config: config) }
        #expect(host.configurationErrors.map(\.path) == [path])
    }

    /// More versions than metrics: they are routed all the same, and counted together.
    @Test func manyVersionsAreCountedTogether() throws {
        let names = (0..<40).map { "v\($0)" }
        let host = FakeHost(models: ["a", "b"].map { FakeModels.Model(name: $0, versions: names) })
        let router = try RouterUnderTest("Canary", host)
        for index in 0..<100 {
            let status = router.route(FakeExchange(), model: UInt32(index % 2), version: "").status
            #expect(status == SLUICE_OK)
        }
        #expect(host.metric("other_requests")?.value == 50)
        #expect(host.metrics.filter { $0.name == "requests" }.reduce(0) { $0 + $1.value } == 50)
    }
}
