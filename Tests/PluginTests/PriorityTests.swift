import SluiceABI
import Testing

@Suite struct PriorityTests {
    let host = FakeHost(models: [
        FakeModels.Model(name: "iris", versions: ["1", "fast"], labels: [("vip", 1)]),
        FakeModels.Model(name: "iris-large", versions: ["1"]),
        FakeModels.Model(name: "web", versions: ["1"]),
    ])
    private static let config: ConfigTree = [
        "tenants": [
            "acme": ["priority": 0, "pools": ["iris": ["version": "vip"]]], "nightly": 9,
            "globex": ["priority": 3, "pools": ["iris": ["model": "iris-large"]]],
        ],
        "header": "x-priority",
        "header_values": [
            "interactive": 4, "background": 8, "urgent": ["priority": 1, "pools": ["iris": ["version": "fast"]]],
            "large": ["priority": 6, "pools": ["iris": ["model": "iris-large", "version": "1"]]],
        ],
        "header_limit": ["unauthenticated": 5, "authenticated": 2],
    ]

    private struct Outcome: Equatable, CustomStringConvertible {
        var priority: UInt32
        var model: UInt32 = 0
        var version = UInt32.max
        var description: String { "\(priority) \(model) \(version)" }
    }

    private func route(
        _ router: RouterUnderTest, tenant: String = "", claim: String? = nil, model: UInt32 = 0, version: String = "",
        decided: UInt32 = UInt32.max
    ) -> (status: sluice_status, outcome: Outcome) {
        let exchange = FakeExchange(fields: claim.map { [("X-Priority", $0)] } ?? [])
        exchange.request.pointee.tenant = exchange.texts.bytes(tenant)
        let (status, decision) = router.route(exchange, model: model, version: version, decided: decided)
        return (status, Outcome(priority: decision.priority, model: decision.model, version: decision.version))
    }

    @Test func tenantsHaveTheirPriorityAndPool() throws {
        let router = try RouterUnderTest("Priority", host, config: Self.config)
        #expect(route(router, tenant: "acme").outcome == Outcome(priority: 0, version: 1))
        #expect(route(router, tenant: "globex").outcome == Outcome(priority: 3, model: 1))
        #expect(route(router, tenant: "nightly").outcome == Outcome(priority: 9))
        // Another model is served where it always is.
        #expect(route(router, tenant: "acme", model: 2).outcome == Outcome(priority: 0, model: 2))
        #expect(route(router, tenant: "stranger").status == SLUICE_DECLINE)
        #expect(route(router).status == SLUICE_DECLINE)
        #expect(host.metric("requests", ["0"])?.value == 2)
        #expect(host.metric("requests", ["9"])?.value == 1)
        #expect(host.metric("moved_requests")?.value == 2)
    }

    @Test(
        arguments: [
            ("", "7", 7), ("", "5", 5), ("", "0", 5), ("", "interactive", 5), ("", "background", 8),
            ("stranger", "3", 3), ("stranger", "0", 2), ("stranger", "9", 9),
            // One may ask for less than one has.
            ("acme", "4", 4), ("acme", "0", 0), ("globex", "0", 3), ("nightly", "0", 9), ("nightly", "interactive", 9),
        ] as [(String, String, UInt32)])
    func aHeaderClaimsNoMoreThanItsLimit(tenant: String, claim: String, priority: UInt32) throws {
        let router = try RouterUnderTest("Priority", host, config: Self.config)
        let (status, outcome) = route(router, tenant: tenant, claim: claim, model: 2)
        #expect(status == SLUICE_OK)
        #expect(outcome.priority == priority)
    }

    @Test func aClaimThatIsCutGetsNoPool() throws {
        let router = try RouterUnderTest("Priority", host, config: Self.config)
        #expect(route(router, claim: "urgent").outcome == Outcome(priority: 5))
        #expect(host.metric("cut_claims")?.value == 1)
        #expect(route(router, tenant: "acme", claim: "urgent").outcome == Outcome(priority: 1, version: 1))
        #expect(route(router, claim: "large").outcome == Outcome(priority: 6, model: 1, version: 0))
        // The tenant's own pool stays when the claim names none.
        #expect(route(router, tenant: "globex", claim: "8").outcome == Outcome(priority: 8, model: 1))
        #expect(host.metric("cut_claims")?.value == 1)
    }

    @Test(arguments: ["10", "-1", "high", "4.5", "٣"])
    func aClaimThatSaysNothingIsCounted(claim: String) throws {
        let router = try RouterUnderTest("Priority", host, config: Self.config)
        #expect(route(router, claim: claim).status == SLUICE_DECLINE)
        #expect(route(router, tenant: "acme", claim: claim).outcome == Outcome(priority: 0, version: 1))
        #expect(host.metric("unknown_claims")?.value == 2)
    }

    @Test func whatIsAskedForOrDecidedStays() throws {
        let router = try RouterUnderTest("Priority", host, config: Self.config)
        #expect(route(router, tenant: "acme", version: "1").outcome == Outcome(priority: 0))
        #expect(route(router, tenant: "globex", decided: 0).outcome == Outcome(priority: 3, version: 0))
        #expect(
            route(router, tenant: "acme", model: UInt32.max).outcome == Outcome(priority: 0, model: UInt32.max))
    }

    @Test func withoutALimitNobodyOvertakes() throws {
        let router = try RouterUnderTest("Priority", host, config: ["header": "x-priority"])
        for tenant in ["", "acme"] {
            #expect(route(router, tenant: tenant, claim: "0").outcome.priority == 5)
            #expect(route(router, tenant: tenant, claim: "6").outcome.priority == 6)
        }
    }

    @Test(
        arguments: [
            ([:], ""), (["header": ""], "header"), (["header_values": ["a": 1]], ""),
            (["tenants": ["a": 10]], "tenants.a"), (["tenants": ["a": [:]]], "tenants.a"),
            (["tenants": ["a": ["priority": -1]]], "tenants.a.priority"),
            (["tenants": ["a": ["priority": 1, "pool": "x"]]], "tenants.a.pool"),
            (["tenants": ["a": ["priority": 1, "pools": ["none": ["version": "1"]]]]], "tenants.a.pools.none"),
            (["tenants": ["a": ["priority": 1, "pools": ["iris": [:]]]]], "tenants.a.pools.iris"),
            (
                ["tenants": ["a": ["priority": 1, "pools": ["iris": ["version": "9"]]]]],
                "tenants.a.pools.iris.version"
            ),
            (["tenants": ["a": ["priority": 1, "pools": ["iris": ["model": "9"]]]]], "tenants.a.pools.iris.model"),
            (["header": "x", "header_limit": ["unauthenticated": 10]], "header_limit.unauthenticated"),
            (["header": "x", "header_limit": ["anyone": 1]], "header_limit.anyone"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsRefusedWhereItIs(config: ConfigTree, path: String) {
        #expect(throws: LoadedPlugin.Failure.self) { try RouterUnderTest("Priority", host, config: config) }
        #expect(host.configurationErrors.map(\.path) == [path], "\(host.configurationErrors)")
    }
}
