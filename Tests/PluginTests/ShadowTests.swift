import SluiceABI
import Testing

@Suite struct ShadowTests {
    let host = FakeHost(models: [
        FakeModels.Model(name: "iris", versions: ["1", "2"], labels: [("next", 1)]),
        FakeModels.Model(name: "iris-large", versions: ["1"]),
    ])

    private static func shadow(_ more: [(String, ConfigTree)] = []) -> ConfigTree {
        .mapping(
            [("name", "next"), ("model", "iris"), ("version", "1"), ("to", ["version": "2"])].filter { entry in
                !more.contains { $0.0 == entry.0 }
            } + more)
    }

    private func router(_ shadows: [ConfigTree], _ more: [(String, ConfigTree)] = []) throws -> RouterUnderTest {
        try RouterUnderTest("Shadow", host, config: .mapping([("shadows", .sequence(shadows))] + more))
    }

    private static func end(
        _ status: UInt32 = 200, code: sluice_status = SLUICE_OK, hash: UInt64 = 0, firstByte: UInt64 = 5
    ) -> sluice_shadow_end {
        var end = sluice_shadow_end()
        end.status = code
        end.http_status = status
        end.body_hash = hash
        end.first_byte_ns = firstByte
        return end
    }

    private func count(_ name: String, _ labels: [String] = ["next"]) -> Double? { host.metric(name, labels)?.value }

    @Test func copiesGoToTheOtherVersionAndAreMarked() throws {
        let router = try router([Self.shadow([("timeout_ms", 50)])])
        let (status, decision) = router.route(FakeExchange(), model: 0, version: "1")
        #expect(status == SLUICE_DECLINE)
        #expect(decision.version == UInt32.max)
        let copy = try #require(host.shadows.copies.first)
        #expect(copy.pool == 1)
        #expect(copy.fields == ["x-sluice-shadow": "next"])
        #expect(copy.timeout == 50_000_000)
        #expect(copy.flags == SLUICE_SHADOW_COMPARE_BODIES | SLUICE_SHADOW_TELL_COPY)
        #expect(count("copies") == 1)
    }

    @Test func whatAnEarlierRouterDecidedCounts() throws {
        let router = try router([Self.shadow()])
        _ = router.route(FakeExchange(), model: 0, version: "", decided: 1)
        #expect(host.shadows.copies.isEmpty)
        _ = router.route(FakeExchange(), model: 0, version: "", decided: 0)
        #expect(host.shadows.copies.count == 1)
        // Which version it is nobody has said, and other models are not meant.
        _ = router.route(FakeExchange(), model: 0, version: "")
        _ = router.route(FakeExchange(), model: 1, version: "1")
        _ = router.route(FakeExchange(), model: UInt32.max, version: "")
        #expect(host.shadows.copies.count == 1)
    }

    @Test func aShareOfTheUsersIsCopied() throws {
        let router = try router(
            [Self.shadow([("percent", 20), ("key", ["header": "x-user"])])], [("max_in_flight", 10_000)])
        let users = (0..<2_000).map { "user-\($0)" }
        func copied() -> [Bool] {
            users.map { user in
                let before = host.shadows.copies.count
                _ = router.route(FakeExchange(fields: [("x-user", user)]), model: 0, version: "1")
                return host.shadows.copies.count > before
            }
        }
        let first = copied()
        #expect(abs(first.count { $0 } - 400) < 72)
        #expect(copied() == first)
        _ = router.route(FakeExchange(), model: 0, version: "1")
        #expect(host.shadows.copies.count == 2 * first.count { $0 })
    }

    @Test func withoutAKeyRequestsAreDrawn() throws {
        let router = try router([Self.shadow([("percent", 50)])], [("max_in_flight", 10_000)])
        for token in 0..<2_000 as Range<UInt64> {
            let exchange = FakeExchange()
            exchange.token = token
            _ = router.route(exchange, model: 0, version: "1")
        }
        #expect(abs(host.shadows.copies.count - 1_000) < 90)
    }

    /// A request has one copy, so the second draws among those that the first leaves.
    @Test func eachShadowDrawsForItself() throws {
        let router = try router(
            [
                Self.shadow([("percent", 30)]),
                Self.shadow([("name", "large"), ("to", ["model": "iris-large"]), ("percent", 30)]),
            ], [("max_in_flight", 10_000)])
        for token in 0..<2_000 as Range<UInt64> {
            let exchange = FakeExchange()
            exchange.token = token
            _ = router.route(exchange, model: 0, version: "1")
        }
        let copies = host.shadows.copies
        #expect(abs(copies.count { $0.fields["x-sluice-shadow"] == "next" } - 600) < 82)
        #expect(abs(copies.count { $0.fields["x-sluice-shadow"] == "large" } - 420) < 73)
    }

    @Test func noMoreAreUnderWayThanMayBe() throws {
        let router = try router([Self.shadow()], [("max_in_flight", 2)])
        for _ in 0..<5 { _ = router.route(FakeExchange(), model: 0, version: "1") }
        #expect(host.shadows.copies.count == 2)
        #expect(count("skipped", ["next", "in_flight"]) == 3)
        host.shadows.end(Self.end(), Self.end())
        _ = router.route(FakeExchange(), model: 0, version: "1")
        #expect(host.shadows.copies.count == 2)
        #expect(count("copies") == 3)
    }

    @Test func aCopyThatHasEndedTakesNoPlace() throws {
        let router = try router([Self.shadow()], [("max_in_flight", 1)])
        _ = router.route(FakeExchange(), model: 0, version: "1")
        host.shadows.endCopy(Self.end())
        #expect(count("compared") == 0)
        _ = router.route(FakeExchange(), model: 0, version: "1")
        #expect(count("copies") == 2)
        // The first one's request has ended at last: the second copy is under way still.
        host.shadows.end(Self.end(), Self.end())
        #expect(count("compared") == 1)
        _ = router.route(FakeExchange(), model: 0, version: "1")
        #expect(count("skipped", ["next", "in_flight"]) == 1)
    }

    @Test func refusalsAreCountedByTheirReason() throws {
        let router = try router([Self.shadow()])
        for (status, reason) in [
            (SLUICE_FAILED_PRECONDITION, "body"), (SLUICE_RESOURCE_EXHAUSTED, "in_flight"),
            (SLUICE_INVALID_ARGUMENT, "unfit"),
        ] {
            host.shadows.status = status
            #expect(router.route(FakeExchange(), model: 0, version: "1").status == SLUICE_DECLINE)
            #expect(count("skipped", ["next", reason]) == 1)
        }
        #expect(count("copies") == 0)
    }

    @Test func differencesAreCounted() throws {
        let router = try router([Self.shadow()])
        let pairs: [(sluice_shadow_end, sluice_shadow_end)] = [
            (Self.end(hash: 7), Self.end(hash: 7)), (Self.end(hash: 7), Self.end(hash: 8)),
            (Self.end(200, hash: 7), Self.end(500, hash: 8)), (Self.end(hash: 7), Self.end(hash: 0)),
            // A call of gRPC that failed.
            (Self.end(hash: 7), Self.end(code: SLUICE_NOT_FOUND, hash: 7)),
        ]
        for (original, copy) in pairs {
            _ = router.route(FakeExchange(), model: 0, version: "1")
            host.shadows.end(original, copy)
        }
        #expect(count("compared") == 5)
        #expect(count("differences", ["next", "body"]) == 1)
        #expect(count("differences", ["next", "status"]) == 2)
        #expect(count("failures") == 0)
        #expect(host.metric("first_byte_seconds", ["next", "copy"])?.observed.count == 5)
    }

    @Test func whatWasNotAnsweredIsNotCompared() throws {
        let router = try router([Self.shadow()])
        let nothing = Self.end(0, code: SLUICE_UNAVAILABLE, firstByte: 0)
        for (original, copy) in [
            (Self.end(), nothing), (Self.end(code: SLUICE_CANCELLED), Self.end()), (nothing, Self.end()),
            // Given up by the gateway: no failure.
            (Self.end(), Self.end(0, code: SLUICE_CANCELLED)),
        ] {
            _ = router.route(FakeExchange(), model: 0, version: "1")
            host.shadows.end(original, copy)
        }
        #expect(count("failures") == 1)
        #expect(count("compared") == 0)
    }

    @Test func bodiesAreWaitedForWhereTheOperatorSaysSo() throws {
        let router = try router([Self.shadow([("wait_for_body_bytes", 100)])])
        let exchange = FakeExchange("POST", "/")
        exchange.message.pointee.body_state = UInt32(SLUICE_BODY_STREAMING)
        exchange.message.pointee.body_size = 101
        #expect(router.route(exchange, model: 0, version: "1").status == SLUICE_DECLINE)
        exchange.message.pointee.body_size = 100
        #expect(router.route(exchange, model: 0, version: "1").status == SLUICE_NEED_BODY)
        exchange.message.pointee.body_size = UInt64.max
        #expect(router.route(exchange, model: 0, version: "1").status == SLUICE_DECLINE)
    }

    @Test func aGatewayWithoutCopiesIsServedAllTheSame() throws {
        host.missingServices = ["sluice.shadow/1"]
        let router = try router([Self.shadow()])
        #expect(router.route(FakeExchange(), model: 0, version: "1").status == SLUICE_DECLINE)
        #expect(count("skipped", ["next", "unfit"]) == 1)
    }

    @Test(
        arguments: [
            ([("to", ConfigTree.null)], "to"), ([("to", ["version": "9"])], "version"),
            ([("to", ["version": "1"])], "to"), ([("to", ["model": "nobody"])], "model"),
            ([("model", "nobody")], "model"), ([("version", "9")], "version"), ([("percent", 101)], "percent"),
            ([("timeout_ms", 0)], "timeout_ms"), ([("wieght", 1)], "wieght"), ([("name", "a b")], "name"),
        ] as [([(String, ConfigTree)], String)])
    func wrongSettingsAreNamed(more: [(String, ConfigTree)], key: String) {
        #expect(throws: LoadedPlugin.Failure.self) { try router([Self.shadow(more)]) }
        let text = host.configurationErrors.map { $0.path + " " + $0.text }.joined(separator: "\n") + host.failure
        #expect(text.contains(key), "\(text)")
    }
}
