import SluiceABI
import Testing

/// The filter as the host meets it.
@Suite struct RateLimitTests {
    let host = FakeHost(models: [.init(name: "gpt", versions: ["1"]), .init(name: "llama", versions: ["1"])])
    private static let (toEndpoint, toClient) = (UInt32(SLUICE_SIDE_REQUEST), UInt32(SLUICE_SIDE_RESPONSE))
    private typealias Edit = FakeExchange.Edit

    func filter(_ limits: ConfigTree, _ more: (String, ConfigTree)...) throws -> FilterUnderTest {
        try FilterUnderTest("RateLimit", host, config: .mapping([("limits", limits)] + more))
    }

    func exchange(
        tenant: String = "", model: Int? = nil, named: String? = nil, operation: Int32 = SLUICE_OPERATION_INFER,
        fields: [(String, String)] = [], peer: String = "10.0.0.7:5012", token: UInt64 = 7
    ) -> FakeExchange {
        let exchange = FakeExchange(fields: fields, peer: peer)
        exchange.token = token
        exchange.request.pointee.tenant = exchange.texts.bytes(tenant)
        exchange.request.pointee.operation = UInt32(operation)
        exchange.request.pointee.model = exchange.texts.bytes(named ?? model.map { host.models.names[$0] } ?? "")
        exchange.request.pointee.model_id = model.map(UInt32.init) ?? UInt32.max
        return exchange
    }

    /// How many of `asked` requests pass.
    func passes(_ filter: FilterUnderTest, _ asked: Int = 20, _ make: () -> FakeExchange) -> Int {
        (0..<asked).count { _ in filter.onRequest(make()) == SLUICE_OK }
    }

    // MARK: Requests

    @Test func theBurstPassesAndThenTheRate() throws {
        let filter = try filter([["name": "all", "requests": 10, "per": "second", "burst": 3]])
        #expect(filter.table.pointee.needs(filter.instance) == 0)
        #expect(passes(filter) { exchange() } == 3)
        host.advance(by: 100_000_000)
        #expect(passes(filter) { exchange() } == 1)
        host.advance(by: 3_600_000_000_000)
        #expect(passes(filter) { exchange() } == 3)
        #expect(host.metric("allowed_total", ["all"])?.value == 7)
        #expect(host.metric("limited_total", ["all"])?.value == 53)
    }

    @Test func aRefusalSaysWhatAndWhen() throws {
        let filter = try filter([["name": "slow", "requests": 2, "per": "minute"]])
        #expect(passes(filter, 2) { exchange() } == 2)
        host.advance(by: 500_000_000)
        let refused = exchange()
        #expect(filter.onRequest(refused) == SLUICE_RESOURCE_EXHAUSTED)
        #expect(host.failure == "the limit \"slow\" is reached; try again in 30 s")
        #expect(
            refused.edits == [
                Edit(side: Self.toClient, name: "RateLimit", value: "\"slow\";r=0;t=60", adds: true),
                Edit(side: Self.toClient, name: "RateLimit-Policy", value: "\"slow\";q=2;w=60", adds: true),
                Edit(side: Self.toClient, name: "Retry-After", value: "30"),
            ])
    }

    @Test(arguments: [("never", 0, 1), ("refused", 0, 3), ("always", 2, 3)])
    func fieldsAreToldWhenTheOperatorWants(headers: String, passed: Int, refused: Int) throws {
        let filter = try filter(
            [["requests": 1, "per": 60], ["name": "b", "requests": 9, "per": 9]],
            ("headers", ConfigTree.scalar(headers)))
        let first = exchange()
        #expect(filter.onRequest(first) == SLUICE_OK)
        #expect(first.edits.count == passed)
        if passed > 0 { #expect(first.edits.first?.value == "\"limit-1\";r=0;t=60, \"b\";r=8;t=1") }
        let second = exchange()
        #expect(filter.onRequest(second) == SLUICE_RESOURCE_EXHAUSTED)
        #expect(second.edits.count == refused)
    }

    @Test func eachKeyHasItsBucket() throws {
        let cases: [(ConfigTree, FakeExchange, FakeExchange)] = [
            ("tenant", exchange(tenant: "a"), exchange(tenant: "b")),
            ("model", exchange(model: 0), exchange(model: 1)),
            ("peer", exchange(peer: "10.0.0.7:1"), exchange(peer: "10.0.0.8:1")),
            (["header": "X-Key"], exchange(fields: [("x-key", "a")]), exchange(fields: [("x-key", "b")])),
            (["tenant", "model"], exchange(tenant: "a", model: 0), exchange(tenant: "a", model: 1)),
            (
                [["header": "a"], ["header": "b"]], exchange(fields: [("a", "xy"), ("b", "z")]),
                exchange(fields: [("a", "x"), ("b", "yz")])
            ),
        ]
        for (by, one, other) in cases {
            let filter = try filter([["by": by, "requests": 2, "per": "hour"]])
            #expect(passes(filter, 5) { one } == 2, "\(by)")
            #expect(passes(filter, 5) { other } == 2, "\(by)")
            #expect(passes(filter, 5) { one } == 0, "\(by)")
        }
    }

    @Test func whatNamesNothingSharesABucket() throws {
        // One client, whatever its port; models that the gateway does not have; requests without a tenant.
        let cases: [(ConfigTree, [FakeExchange])] = [
            ("peer", [exchange(peer: "[::1]:7"), exchange(peer: "[::1]:8")]),
            ("model", [exchange(named: "made-up"), exchange(named: "made-up-too"), exchange()]),
            ("tenant", [exchange(peer: "1.2.3.4:5"), exchange(peer: "1.2.3.5:5")]),
        ]
        for (by, requests) in cases {
            let filter = try filter([["by": by, "requests": 1, "per": "hour"]])
            #expect(requests.count { filter.onRequest($0) == SLUICE_OK } == 1, "\(by)")
        }
    }

    @Test func whoIsRefusedByOneLimitIsChargedByNone() throws {
        let filter = try filter([
            ["name": "wide", "requests": 10, "per": "hour"],
            ["name": "narrow", "by": "tenant", "requests": 2, "per": "day"],
        ])
        #expect(passes(filter, 50) { exchange(tenant: "a") } == 2)
        #expect(passes(filter, 50) { exchange(tenant: "b") } == 2)
        for tenant in 0..<3 { #expect(passes(filter, 2) { exchange(tenant: "\(tenant)") } == 2) }
        // Both refuse: the client is told of the one that lasts.
        #expect(filter.onRequest(exchange(tenant: "a")) == SLUICE_RESOURCE_EXHAUSTED)
        #expect(host.failure == "the limit \"narrow\" is reached; try again in 43200 s")
    }

    @Test func rulesSayWhomALimitIsAbout() throws {
        let filter = try filter([["when": "header(\"x-tier\") == \"free\"", "requests": 1, "per": "hour"]])
        #expect(passes(filter, 9) { exchange(fields: [("x-tier", "paid")]) } == 9)
        #expect(passes(filter, 9) { exchange(fields: [("x-tier", "free")]) } == 1)
    }

    @Test func whatIsAskedOfTheGatewayItselfIsNotLimited() throws {
        let filter = try filter([["requests": 1, "per": "hour"]])
        for operation in [
            SLUICE_OPERATION_SERVER_LIVE, SLUICE_OPERATION_SERVER_READY, SLUICE_OPERATION_SERVER_METADATA,
            SLUICE_OPERATION_MODEL_LIST,
        ] {
            #expect(passes(filter, 3) { exchange(operation: operation) } == 3)
        }
        #expect(passes(filter, 3) { exchange(operation: SLUICE_OPERATION_MODEL_READY) } == 1)
    }

    @Test(arguments: [true, false]) func onTrialNobodyIsRefused(whole: Bool) throws {
        let limit: ConfigTree = ["name": "t", "requests": 2, "per": "hour", "dry_run": whole ? "false" : "true"]
        let filter = try filter([limit], ("dry_run", whole ? "true" : "false"), ("headers", "always"))
        let exchange = exchange()
        #expect(passes(filter, 5) { exchange } == 5)
        #expect(host.metric("allowed_total")?.value == 2)
        #expect(host.metric("would_limit_total")?.value == 3)
        #expect(host.metric("limited_total") == nil)
        #expect(exchange.edits.isEmpty)
    }

    // MARK: What is shared and what outlives

    @Test func instancesShareTheirBuckets() throws {
        let limits: ConfigTree = [["name": "a", "requests": 5, "per": "hour"]]
        let (one, other) = (try filter(limits), try filter(limits))
        #expect(passes(one, 3) { exchange() } + passes(other, 9) { exchange() } == 5)
        // A limit that changed begins anew; beside it the other goes on.
        let changed = try filter([["name": "a", "requests": 6, "per": "hour"]])
        #expect(passes(changed, 9) { exchange() } == 6)
        let same = try filter([
            ["name": "b", "requests": 9, "per": "hour"], ["name": "a", "requests": 5, "per": "hour"],
        ])
        #expect(passes(same, 9) { exchange() } == 0)
    }

    @Test(arguments: [("pass", 137), ("refuse", 0)]) func aFullTableDoesWhatTheOperatorSays(
        whenFull: String, beyond: Int
    ) throws {
        let filter = try filter(
            [["by": "tenant", "requests": 1, "per": "hour"]], ("max_buckets", "63"),
            ("when_full", .scalar(whenFull)))
        #expect((0..<200).count { filter.onRequest(exchange(tenant: "\($0)")) == SLUICE_OK } == 63 + beyond)
        #expect(host.metric("no_room_total")?.value == 137)
        // Those who have a bucket are limited as ever.
        #expect(filter.onRequest(exchange(tenant: "0")) == SLUICE_RESOURCE_EXHAUSTED)
    }

    // MARK: Tokens

    func answer(
        _ filter: FilterUnderTest, _ exchange: FakeExchange, status: UInt32 = 200, type: String = "application/json",
        body: String? = nil, payload: String? = nil, state: Int32 = SLUICE_BODY_STREAMING
    ) {
        var message = sluice_message()
        message.status = status
        message.body_state = UInt32(body == nil ? state : SLUICE_BODY_WHOLE)
        if let body {
            message.body = exchange.texts.array([exchange.texts.bytes(body)])
            message.body_count = 1
        }
        message.fields = exchange.texts.array([
            sluice_field(name: exchange.texts.bytes("content-type"), value: exchange.texts.bytes(type))
        ])
        message.field_count = 1
        var response = sluice_response()
        response.message = UnsafePointer(exchange.texts.mutable([message]))
        if let payload { response.payload.raw = exchange.texts.bytes(payload) }
        #expect(filter.onResponse(exchange, &response) == SLUICE_OK)
    }

    func chunk(_ filter: FilterUnderTest, _ exchange: FakeExchange, _ text: String) {
        let bytes = exchange.texts.bytes(text)
        let status = filter.table.pointee.on_chunk(filter.instance, exchange.handle, Self.toClient, bytes)
        #expect(status == SLUICE_OK)
    }

    static func usage(_ prompt: Int, _ completion: Int) -> String {
        "{\"usage\":{\"prompt_tokens\":\(prompt),\"completion_tokens\":\(completion)}}"
    }

    /// Tokens that the only bucket has left, by what the answer to one more request says; it takes none.
    func left(_ filter: FilterUnderTest) -> Int? {
        let exchange = exchange(operation: SLUICE_OPERATION_CHAT, token: 99)
        guard filter.onRequest(exchange) == SLUICE_OK else { return nil }
        answer(filter, exchange, status: 500)
        let value = exchange.edits.first { $0.name == "RateLimit" }?.value ?? ""
        return Int(value.split(separator: ";").first { $0.hasPrefix("r=") }?.dropFirst(2) ?? "")
    }

    @Test(arguments: [("total", 70), ("prompt", 90), ("completion", 80)])
    func whatAnAnswerTookIsPaidAfterwards(count: String, expected: Int) throws {
        let limits: ConfigTree = [["tokens": 100, "per": "hour", "count": .scalar(count)]]
        let filter = try filter(limits, ("headers", "always"))
        #expect(filter.table.pointee.needs(filter.instance) == UInt32(SLUICE_FILTER_CHUNKS))
        let exchange = exchange(operation: SLUICE_OPERATION_CHAT, fields: [("accept-encoding", "gzip")])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(exchange.edits.last == Edit(side: Self.toEndpoint, name: "Accept-Encoding", value: "identity"))
        answer(filter, exchange, body: Self.usage(10, 20))
        #expect(left(filter) == expected)
        #expect(host.metric("tokens_total")?.value == Double(100 - expected))
        #expect(host.metric("unmetered_answers_total")?.value == 0)
    }

    @Test func aDebtIsWaitedFor() throws {
        let filter = try filter([["tokens": 100, "per": "second"]], ("headers", "always"))
        let exchange = exchange(operation: SLUICE_OPERATION_COMPLETION)
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        answer(filter, exchange, body: Self.usage(100, 250))
        #expect(left(filter) == nil)
        #expect(host.failure.hasSuffix("try again in 3 s"))
        host.advance(by: 2_500_000_000)
        #expect(left(filter) == nil)
        host.advance(by: 10_000_000)
        #expect(left(filter) == 1)
    }

    @Test func whatIsReservedIsSettled() throws {
        let limits: ConfigTree = [["tokens": 100, "per": "hour", "reserve": 40]]
        let filter = try filter(limits, ("headers", "always"))
        let exchanges = (0..<3).map { exchange(operation: SLUICE_OPERATION_CHAT, token: UInt64($0)) }
        #expect(exchanges.map { filter.onRequest($0) } == [SLUICE_OK, SLUICE_OK, SLUICE_RESOURCE_EXHAUSTED])
        // One took less, the other failed.
        answer(filter, exchanges[0], body: Self.usage(3, 2))
        answer(filter, exchanges[1], status: 503)
        #expect(left(filter) == 95 - 40)
        let cancelled = exchange(operation: SLUICE_OPERATION_CHAT, token: 4)
        #expect(filter.onRequest(cancelled) == SLUICE_OK)
        filter.table.pointee.on_cancel(filter.instance, cancelled.handle)
        #expect(left(filter) == 95 - 40 - 40, "who leaves has his work done nevertheless")
    }

    /// An answer that was kept has no message's body: what it says lies in the payload, and no piece of it follows.
    @Test(arguments: [(usage(3, 2), 95), (nil, 100)]) func anAnswerThatDoesNotStreamIsSettledAtOnce(
        payload: String?, expected: Int
    ) throws {
        let limits: ConfigTree = [["tokens": 100, "per": "hour", "reserve": 40]]
        let filter = try filter(limits, ("headers", "always"))
        let exchange = exchange(operation: SLUICE_OPERATION_CHAT)
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        answer(filter, exchange, payload: payload, state: SLUICE_BODY_NONE)
        #expect(left(filter) == expected - 40)
        #expect(host.metric("tokens_total")?.value == Double(100 - expected))
        #expect(host.metric("unmetered_answers_total")?.value == 0)
    }

    @Test func whatTheGatewayRefusesCostsNothing() throws {
        let limits: ConfigTree = [["tokens": 100, "per": "hour", "reserve": 40]]
        let filter = try filter(limits, ("headers", "always"))
        for token in 1...5 {
            let refused = exchange(operation: SLUICE_OPERATION_CHAT, token: UInt64(token))
            #expect(filter.onRequest(refused) == SLUICE_OK)
            filter.onError(refused, SLUICE_UNAVAILABLE)
        }
        #expect(left(filter) == 100 - 40)
    }

    @Test func aStreamCostsItsEventsUntilItSaysBetter() throws {
        let filter = try filter([["tokens": 100, "per": "hour", "reserve": 4]], ("headers", "always"))
        let told = exchange(operation: SLUICE_OPERATION_CHAT, token: 1)
        let silent = exchange(operation: SLUICE_OPERATION_CHAT, token: 2)
        for exchange in [told, silent] {
            #expect(filter.onRequest(exchange) == SLUICE_OK)
            answer(filter, exchange, type: "text/event-stream")
            for _ in 0..<10 { chunk(filter, exchange, "data: {\"choices\":[]}\n\n") }
        }
        #expect(left(filter) == 100 - 20 - 4)
        chunk(filter, told, "data: \(Self.usage(7, 10))\n\n")
        chunk(filter, told, "data: [DONE]\n\n")
        chunk(filter, silent, "data: [DONE]\n\n")
        #expect(left(filter) == 100 - 27 - 4)
        #expect(host.metric("unmetered_answers_total")?.value == 1)
        #expect(host.metric("tokens_total")?.value == 27)
    }

    /// The gateway's own errors pass no filter, and exchange tokens come again.
    @Test func whatAnExchangeLeftIsNotTakenForAnothers() throws {
        let filter = try filter([["tokens": 100, "per": "hour", "reserve": 40]], ("headers", "always"))
        let first = exchange(operation: SLUICE_OPERATION_CHAT, token: 5)
        // Its memory stays, so that the test fails by what it finds there.
        defer { withExtendedLifetime(first) {} }
        #expect(filter.onRequest(first) == SLUICE_OK)
        // Not answered. The next one of that token has no tokens to be counted, and nothing to be given back.
        let other = exchange(token: 5)
        #expect(filter.onRequest(other) == SLUICE_OK)
        answer(filter, other, status: 500)
        #expect(left(filter) == 20)
    }

    @Test func onlyAnswersWithTokensAreLimitedByThem() throws {
        let filter = try filter([["tokens": 1, "per": "hour", "reserve": 1]])
        #expect(passes(filter, 9) { exchange() } == 9)
        #expect(passes(filter, 9) { exchange(operation: SLUICE_OPERATION_EMBED) } == 1)
    }

    @Test func withoutMemoryNothingIsPassedUncounted() throws {
        let filter = try filter([["requests": 1, "per": "hour"]])
        host.arenaBound = 0
        #expect(filter.onRequest(exchange()) == SLUICE_RESOURCE_EXHAUSTED)
    }

    // MARK: Configuration

    @Test(
        arguments: [
            ([:], ""), (["limits": []], ""), (["limit": []], "limit"),
            (["limits": [["per": "hour"]]], "limits[0]"),
            (["limits": [["requests": 1, "tokens": 1, "per": "hour"]]], "limits[0]"),
            (["limits": [["requests": 1]]], "limits[0]"),
            (["limits": [["requests": 0, "per": "hour"]]], "limits[0].requests"),
            (["limits": [["requests": 1, "per": "week"]]], "limits[0].per"),
            (["limits": [["requests": 1, "per": "0"]]], "limits[0].per"),
            (["limits": [["requests": 2_000_000_000, "per": 1]]], "limits[0].requests"),
            (["limits": [["requests": 1, "per": "day", "burst": 60]]], "limits[0].burst"),
            (["limits": [["requests": 1, "per": "hour", "by": "user"]]], "limits[0].by"),
            (["limits": [["requests": 1, "per": "hour", "by": ["session": "true"]]]], "limits[0].by"),
            (["limits": [["requests": 1, "per": "hour", "when": "model ="]]], "limits[0].when"),
            (["limits": [["requests": 1, "per": "hour", "reserve": 1]]], "limits[0].reserve"),
            (["limits": [["tokens": 5, "per": "hour", "reserve": 6]]], "limits[0].reserve"),
            (["limits": [["tokens": 5, "per": "hour", "count": "words"]]], "limits[0].count"),
            (["limits": [["requests": 1, "per": "hour", "name": "a b"]]], "limits[0].name"),
            (
                [
                    "limits": [
                        ["requests": 1, "per": "hour", "name": "a"], ["requests": 2, "per": "hour", "name": "a"],
                    ]
                ], "limits[1].name"
            ),
            (["limits": [["requests": 1, "per": "hour"]], "when_full": "wait"], "when_full"),
            (["limits": [["requests": 1, "per": "hour"]], "headers": "yes"], "headers"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsNamedByItsPlace(config: ConfigTree, path: String) throws {
        let table = try LoadedPlugin("RateLimit").table(SLUICE_FILTER_2, as: sluice_filter_2.self)
        let (status, instance) = host.create(table.pointee.base, config: config)
        #expect(status == SLUICE_INVALID_ARGUMENT)
        #expect(instance == nil)
        #expect(host.configurationErrors.map(\.path) == [path])
    }
}
