import SluiceABI
import Testing

@Suite struct ContentBasedTests {
    let host = FakeHost(models: [
        FakeModels.Model(name: "image", versions: ["1"]),
        FakeModels.Model(name: "image-large", versions: ["1", "2"], labels: [("stable", 1)]),
    ])

    private func rule(_ when: String, _ then: ConfigTree, name: String? = nil, goesOn: Bool = false) -> ConfigTree {
        var members: [(String, ConfigTree)] = [("when", .scalar(when)), ("then", then)]
        if let name { members.append(("name", .scalar(name))) }
        if goesOn { members.append(("continue", true)) }
        return .mapping(members)
    }

    private func router(_ rules: ConfigTree...) throws -> RouterUnderTest {
        try RouterUnderTest("ContentBased", host, config: ["rules": .sequence(rules)])
    }

    @Test func theFirstRuleThatHoldsDecides() throws {
        let router = try router(
            rule(#"header("x-size") == "large""#, ["model": "image-large", "version": "stable"]),
            rule(#"exists(header("x-size"))"#, ["model": "image", "priority": 7]))
        let large = router.route(FakeExchange(fields: [("X-Size", "large")]), model: 0, version: "", decided: 0)
        #expect(large.status == SLUICE_OK)
        #expect(large.decision.model == 1 && large.decision.version == 1 && large.decision.priority == 5)
        let small = router.route(FakeExchange(fields: [("X-Size", "small")]), model: 1, version: "", decided: 1)
        #expect(small.decision.model == 0 && small.decision.priority == 7)
        // The version of another model says nothing about this one.
        #expect(small.decision.version == UInt32.max)
        #expect(router.route(FakeExchange(), model: 0, version: "", decided: 0).status == SLUICE_DECLINE)
        #expect(host.metric("matches", ["1"])?.value == 1)
        #expect(host.metric("matches", ["2"])?.value == 1)
        #expect(host.metric("unmatched")?.value == 1)
    }

    @Test func aRuleThatContinuesAddsUp() throws {
        let router = try router(
            rule(#"tenant == "acme""#, ["priority": 0, "deadline_ms": 50], name: "vip", goesOn: true),
            rule("true", ["deadline_ms": 200, "model": "image-large"], name: "all"))
        let exchange = FakeExchange()
        exchange.request.pointee.received_ns = 1_000
        exchange.request.pointee.tenant = exchange.texts.bytes("acme")
        let vip = router.route(exchange, model: 0, version: "").decision
        #expect(vip.priority == 0 && vip.model == 1 && vip.deadline_ns == 50_001_000)
        exchange.request.pointee.tenant = sluice_bytes()
        let other = router.route(exchange, model: 0, version: "").decision
        #expect(other.priority == 5 && other.model == 1 && other.deadline_ns == 200_001_000)
        #expect(host.metric("matches", ["vip"])?.value == 1)
        #expect(host.metric("matches", ["all"])?.value == 2)
    }

    /// The body is asked for when a rule needs it, and nothing is counted twice when the router is asked again.
    @Test func theBodyIsAskedForOnlyWhereItDecides() throws {
        let router = try router(
            rule(#"method == "GET""#, ["priority": 1]), rule(#"tenant == "acme""#, ["priority": 2], goesOn: true),
            rule(#"tensor("image").shape[-1] > 1024"#, ["model": "image-large"]))
        let exchange = FakeExchange("POST", "/")
        exchange.request.pointee.tenant = exchange.texts.bytes("acme")
        exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        #expect(router.route(exchange, model: 0, version: "").status == SLUICE_NEED_BODY)
        #expect(host.metric("matches", ["2"])?.value == 0)
        var tensor = sluice_tensor()
        tensor.name = exchange.texts.bytes("image")
        tensor.datatype = UInt32(SLUICE_DATATYPE_UINT8)
        tensor.rank = 2
        tensor.shape = exchange.texts.array([768, 1025] as [Int64])
        exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        exchange.request.pointee.payload.tensors = exchange.texts.array([tensor])
        exchange.request.pointee.payload.tensor_count = 1
        let decided = router.route(exchange, model: 0, version: "")
        #expect(decided.status == SLUICE_OK && decided.decision.model == 1 && decided.decision.priority == 2)
        #expect(host.metric("matches", ["2"])?.value == 1)
        let streaming = FakeExchange("GET", "/")
        streaming.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        #expect(router.route(streaming, model: 0, version: "").decision.priority == 1)
    }

    @Test func withoutMemoryTheRequestFails() throws {
        let router = try router(rule(#"query("a") == "A""#, ["priority": 1]))
        host.arenaBound = 0
        let outcome = router.route(FakeExchange("GET", "/?a=%41"), model: 0, version: "")
        #expect(outcome.status == SLUICE_RESOURCE_EXHAUSTED)
    }

    private func refusal(_ config: ConfigTree) throws -> (path: String, text: String) {
        let plugin = try LoadedPlugin("ContentBased")
        let table = try plugin.table(SLUICE_ROUTER, as: sluice_router.self)
        let made = host.create(table.pointee.base, config: config)
        #expect(made.instance == nil)
        return try #require(host.configurationErrors.last)
    }

    @Test func mistakesAreToldAtTheirPlace() throws {
        let cases: [(ConfigTree, path: String, text: String)] = [
            ([:], "", "'rules' is missing or empty"),
            (["rule": []], "rule", "unknown key 'rule'"),
            (["rules": [rule("tru", ["priority": 1])]], "rules[0].when", "column 1 of the rule: `tru` is no field"),
            (
                ["rules": [rule("true", ["priority": 1]), rule("priority", ["priority": 1])]], "rules[1].when",
                "column 1 of the rule: a rule takes a condition"
            ),
            (["rules": [["then": ["priority": 1]]]], "rules[0]", "'when' is missing"),
            (["rules": [["when": "true"]]], "rules[0]", "'then' is missing or empty"),
            (
                ["rules": [rule("true", ["model": "image-lage"])]], "rules[0].then.model",
                "no model is named 'image-lage'; did you mean 'image-large'?"
            ),
            (
                ["rules": [rule("true", ["model": "speech"])]], "rules[0].then.model",
                "no model is named 'speech'; known are image, image-large"
            ),
            (
                ["rules": [rule("true", ["model": "image-large", "version": "stabel"])]], "rules[0].then.version",
                "model 'image-large' has no version or label 'stabel'; did you mean 'stable'?"
            ),
            (["rules": [rule("true", ["version": "1"])]], "rules[0].then.version", "'version' goes with 'model'"),
            (["rules": [rule("true", ["priority": 10])]], "rules[0].then.priority", "10 is out of range"),
            (["rules": [rule("true", ["deadline_ms": 0])]], "rules[0].then.deadline_ms", "0 is out of range"),
            (
                ["rules": [rule("true", ["priority": 1], name: "a"), rule("true", ["priority": 1], name: "a")]],
                "rules[1].name", "two rules are named 'a'"
            ),
            // Its number is its name.
            (
                ["rules": [rule("true", ["priority": 1], name: "2"), rule("true", ["priority": 1])]],
                "rules[1]", "two rules are named '2'"
            ),
            (
                ["rules": .sequence((0..<64).map { _ in rule("true", ["priority": 1]) })], "rules[63]",
                "more than 63 rules"
            ),
        ]
        for (config, path, message) in cases {
            let refusal = try refusal(config)
            #expect(refusal.path == path, "\(refusal)")
            #expect(refusal.text.contains(message), "\(refusal)")
        }
    }

    @Test func anOlderHostIsTold() throws {
        host.missingServices = ["sluice.rules/1"]
        let refusal = try refusal(["rules": [rule("true", ["priority": 1])]])
        #expect(refusal.path == "rules[0].when" && refusal.text.contains("sluice.rules/1"))
    }
}
