import SluiceABI
import Testing

@Suite struct SessionTests {
    private static func models(_ weights: [UInt32] = [1, 1, 1]) -> [FakeModels.Model] {
        [
            FakeModels.Model(name: "web", versions: ["1"]),
            FakeModels.Model(name: "iris", versions: ["1", "2", "3"], weights: weights),
            FakeModels.Model(name: "chat-a", versions: ["1", "2"]), FakeModels.Model(name: "chat-b", versions: ["1"]),
        ]
    }
    let host = FakeHost(models: models())
    private static let users = (0..<3_000).map { "user-\($0)" }
    private static let byHeader: ConfigTree = ["header": "x-session-id"]

    private func session(_ exchange: FakeExchange) -> String { text(exchange.request.pointee.session) }

    // MARK: The key

    @Test func theKeyIsHandedOnFromTheFirstSourceThatHasOne() throws {
        let router = try RouterUnderTest(
            "Session", host,
            config: [
                "key": [Self.byHeader, ["cookie": "sid"], ["query": "session"], ["tenant": true], ["peer": true]]
            ])
        let exchanges = [
            FakeExchange("GET", "/?session=q", fields: [("X-Session-Id", " h "), ("cookie", "sid=c")]),
            FakeExchange("GET", "/?session=q", fields: [("X-Session-Id", ""), ("cookie", "sid=c")]),
            FakeExchange("GET", "/?session=q", fields: [("cookie", "other=c")]), FakeExchange(),
            FakeExchange(peer: "[::1]:5012"), FakeExchange(peer: "unix"),
        ]
        for exchange in exchanges[..<4] { exchange.request.pointee.tenant = exchange.texts.bytes("t") }
        for (exchange, key) in zip(exchanges, ["h", "c", "q", "t", "[::1]", "unix"]) {
            let (status, decision) = router.route(exchange, model: 1, version: "")
            #expect(status == SLUICE_DECLINE)
            #expect(decision.version == UInt32.max)
            #expect(session(exchange) == key)
            #expect(exchange.edits.isEmpty)
        }
        #expect(host.metric("keyed_requests")?.value == 6)
    }

    @Test func whoHasNoKeyIsLeftAlone() throws {
        let router = try RouterUnderTest(
            "Session", host, config: ["key": Self.byHeader, "choose": ["iris": "versions"]])
        let exchange = FakeExchange()
        #expect(router.route(exchange, model: 1, version: "").status == SLUICE_DECLINE)
        #expect(session(exchange) == "")
        #expect(host.metric("unkeyed_requests")?.value == 1)
    }

    @Test func aGatewayWithoutTheServiceIsToldOf() throws {
        host.missingServices = ["sluice.route/1"]
        let router = try RouterUnderTest("Session", host, config: ["key": Self.byHeader])
        let exchange = FakeExchange(fields: [("x-session-id", "a")])
        #expect(router.route(exchange, model: 1, version: "").status == SLUICE_UNIMPLEMENTED)
        #expect(host.failure == "this gateway lets no router set a request's session")
    }

    // MARK: The cookie

    @Test func aClientWithoutASessionIsGivenOneFromItsFirstRequestOn() throws {
        let router = try RouterUnderTest(
            "Session", host,
            config: [
                "key": Self.byHeader, "choose": ["iris": "versions"],
                "set_cookie": ["name": "sid", "max_age": 3600, "secure": true, "same_site": "none"],
            ])
        var issued: Set<String> = []
        for _ in 0..<50 {
            let exchange = FakeExchange()
            let first = router.route(exchange, model: 1, version: "").decision.version
            let key = session(exchange)
            #expect(key.count == 32 && key.allSatisfy(\.isHexDigit))
            let edit = FakeExchange.Edit(
                side: UInt32(SLUICE_SIDE_RESPONSE), name: "set-cookie",
                value: "sid=\(key); Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=None", adds: true)
            #expect(exchange.edits == [edit])
            issued.insert(key)
            // It comes back with the cookie, to the same version, and gets no other.
            let second = FakeExchange(fields: [("cookie", "sid=\(key)")])
            #expect(router.route(second, model: 1, version: "").decision.version == first)
            #expect(second.edits.isEmpty)
        }
        #expect(issued.count == 50)
        #expect(host.metric("issued_cookies")?.value == 50)
        // Who is known by another key needs none; a message of gRPC or raw TCP has none.
        let known = FakeExchange(fields: [("x-session-id", "a")])
        #expect(router.route(known, model: 1, version: "").status == SLUICE_OK)
        let call = FakeExchange()
        call.message.pointee.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        #expect(router.route(call, model: 1, version: "").status == SLUICE_DECLINE)
        #expect(known.edits.isEmpty && call.edits.isEmpty)
    }

    @Test(
        arguments: [
            (["name": "a"], "; Path=/; HttpOnly; SameSite=Lax"),
            (["name": "a", "path": "/x", "http_only": false, "same_site": "strict"], "; Path=/x; SameSite=Strict"),
        ] as [(ConfigTree, String)])
    func attributesAreThoseConfigured(cookie: ConfigTree, attributes: String) throws {
        let router = try RouterUnderTest("Session", host, config: ["set_cookie": cookie])
        let exchange = FakeExchange()
        _ = router.route(exchange, model: 1, version: "")
        #expect(exchange.edits.first?.value == "a=\(session(exchange))\(attributes)")
    }

    // MARK: The ring

    private func chosen(_ router: RouterUnderTest, model: UInt32 = 1) -> [sluice_route_decision] {
        Self.users.map { user in
            let exchange = FakeExchange(fields: [("x-session-id", user)])
            let (status, decision) = router.route(exchange, model: model, version: "")
            #expect(status == SLUICE_OK)
            return decision
        }
    }

    private func versions(_ weights: [UInt32]) throws -> [UInt32] {
        let host = FakeHost(models: Self.models(weights))
        let config: ConfigTree = ["key": Self.byHeader, "choose": ["iris": "versions"]]
        return chosen(try RouterUnderTest("Session", host, config: config)).map(\.version)
    }

    @Test func sessionsStayOnTheirVersionAndAreShared() throws {
        let all = try versions([1, 1, 1])
        #expect(try versions([1, 1, 1]) == all)
        for version in 0..<3 as Range<UInt32> {
            let count = all.count { $0 == version }
            // 160 points an owner: a share is within a fifth of the third that it should be.
            #expect((800...1_200).contains(count), "version \(version) has \(count)")
        }
        let weighted = try versions([2, 1, 1])
        #expect((1_200...1_800).contains(weighted.count { $0 == 0 }))
        // One that goes gives up its own sessions and no other.
        let two = try versions([1, 1, 0])
        #expect(two.allSatisfy { $0 < 2 })
        let moved = zip(all, two).count { $0 != $1 }
        #expect(moved <= all.count { $0 == 2 } * 12 / 10)
    }

    @Test func modelsAreChosenAmongToo() throws {
        let router = try RouterUnderTest(
            "Session", host, config: ["key": Self.byHeader, "choose": ["web": ["chat-a", "chat-b"]]])
        let decisions = chosen(router, model: 0)
        #expect(decisions.allSatisfy { $0.version == UInt32.max })
        #expect((1_200...1_800).contains(decisions.count { $0.model == 2 }))
        #expect((1_200...1_800).contains(decisions.count { $0.model == 3 }))
    }

    /// The bound of Mirrokni, Thorup and Zadimoghaddam: no more than the factor times the average.
    @Test func aBusyVersionSpillsItsSessions() throws {
        let host = host
        let router = try RouterUnderTest(
            "Session", host, config: ["key": Self.byHeader, "choose": ["iris": "versions"], "load_factor": 1.25])
        let calm = chosen(router).map(\.version)
        #expect(host.metric("spilled_requests")?.value == 0)
        // Pools of iris are 1 to 3. Of 61 attempts, the next included, each may have ceil(1.25 * 61 / 3) = 26.
        host.inFlight = [1: 26, 2: 17, 3: 17]
        let busy = chosen(router).map(\.version)
        for (before, now) in zip(calm, busy) { #expect(before == 0 ? now != 0 : now == before) }
        #expect(host.metric("spilled_requests")?.value == Double(calm.count { $0 == 0 }))
        host.inFlight[1] = 25
        host.inFlight[2] = 18
        #expect(chosen(router).map(\.version) == calm)
        // All alike busy: affinity is all that counts.
        host.inFlight = [1: 100, 2: 100, 3: 100]
        #expect(chosen(router).map(\.version) == calm)
        #expect(host.metric("chosen_requests")?.value == Double(4 * Self.users.count))
    }

    @Test func whatIsAskedForOrDecidedStays() throws {
        let router = try RouterUnderTest(
            "Session", host, config: ["key": Self.byHeader, "choose": ["iris": "versions"]])
        let exchange = FakeExchange(fields: [("x-session-id", "a")])
        #expect(router.route(exchange, model: 1, version: "2").status == SLUICE_DECLINE)
        #expect(router.route(exchange, model: 1, version: "", decided: 2).decision.version == 2)
        #expect(router.route(exchange, model: 0, version: "").status == SLUICE_DECLINE)
        #expect(router.route(exchange, model: UInt32.max, version: "").status == SLUICE_DECLINE)
        #expect(session(exchange) == "a")
    }

    private static func cookie(_ keys: (String, ConfigTree)...) -> ConfigTree {
        ["set_cookie": .mapping([("name", "sid")] + keys)]
    }

    @Test(
        arguments: [
            ([:], ""), (["key": []], "key"), (["key": ["header": "a b"]], "key.header"),
            (["key": ["cookies": "a"]], "key.cookies"), (["set_cookie": [:]], "set_cookie"),
            (["set_cookie": ["name": "a;b"]], "set_cookie.name"), (cookie(("max_age", -1)), "set_cookie.max_age"),
            (cookie(("same_site", "none")), "set_cookie.same_site"),
            (cookie(("same_site", "Lax")), "set_cookie.same_site"), (cookie(("path", "x")), "set_cookie.path"),
            (cookie(("path", "/;x")), "set_cookie.path"), (cookie(("domain", "x")), "set_cookie.domain"),
            (["set_cookie": ["name": "__Secure-a"]], "set_cookie.name"),
            (["set_cookie": ["name": "__Host-a", "secure": true, "path": "/x"]], "set_cookie.path"),
            (["set_cookie": ["name": "a"], "key": ["peer": true]], "set_cookie"),
            (["set_cookie": ["name": "a"], "key": ["path": true]], "set_cookie"),
            (["key": byHeader, "choose": ["none": "versions"]], "choose.none"),
            (["key": byHeader, "choose": ["iris": "version"]], "choose.iris"),
            (["key": byHeader, "choose": ["iris": []]], "choose.iris"),
            (["key": byHeader, "choose": ["iris": ["none"]]], "choose.iris[0]"),
            (["key": byHeader, "choose": ["iris": ["web", "web"]]], "choose.iris[1]"),
            (["key": byHeader, "load_factor": 0.9], "load_factor"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsRefusedWhereItIs(config: ConfigTree, path: String) {
        #expect(throws: LoadedPlugin.Failure.self) { try RouterUnderTest("Session", host, config: config) }
        #expect(host.configurationErrors.map(\.path) == [path], "\(host.configurationErrors)")
    }

    @Test func weightsThatSumToZeroAreRefused() {
        let host = FakeHost(models: Self.models([0, 0, 0]))
        #expect(throws: LoadedPlugin.Failure.self) {
            try RouterUnderTest("Session", host, config: ["key": Self.byHeader, "choose": ["iris": "versions"]])
        }
        #expect(host.configurationErrors.map(\.path) == ["choose.iris"])
    }
}
