import SluiceABI
import Testing

@Suite struct ABTestTests {
    let host = FakeHost(models: [
        FakeModels.Model(name: "iris", versions: ["1", "2"], labels: [("next", 1)]),
        FakeModels.Model(name: "iris-large", versions: ["1", "2"]),
    ])
    private static let users = (0..<2_000).map { "user-\($0)" }

    private static func experiment(
        _ name: String, share: ConfigTree = 100, weights: [Int] = [1, 1], key: ConfigTree = ["header": "x-user"]
    ) -> ConfigTree {
        [
            "name": .scalar(name), "model": "iris", "share": share, "key": key,
            "variants": [
                ["name": "control", "version": "1", "weight": .scalar("\(weights[0])")],
                ["name": "large", "model": "iris-large", "weight": .scalar("\(weights[1])")],
            ],
        ]
    }

    /// The variant of each user: 0 or 1, nil for those outside.
    private func variants(_ experiments: ConfigTree, _ host: FakeHost? = nil) throws -> [Int?] {
        let router = try RouterUnderTest("ABTest", host ?? self.host, config: ["experiments": experiments])
        return Self.users.map { user in
            let exchange = FakeExchange(fields: [("X-User", user)])
            let (status, decision) = router.route(exchange, model: 0, version: "")
            if status == SLUICE_DECLINE { return nil }
            return decision.model == 1 && decision.version == UInt32.max ? 1 : decision.version == 0 ? 0 : nil
        }
    }

    @Test func assignmentIsDeterministicAndCounted() throws {
        let first = try variants([Self.experiment("size")])
        #expect(abs(first.count { $0 == 1 } - 1_000) <= 67)
        #expect(first.count { $0 == nil } == 0)
        for (place, name) in ["control", "large"].enumerated() {
            let counted = host.metric("exposures", ["size", name])?.value
            #expect(counted == Double(first.count { $0 == place }))
        }
        #expect(
            try variants(
                [Self.experiment("size")],
                FakeHost(models: [
                    FakeModels.Model(name: "iris", versions: ["1"]),
                    FakeModels.Model(name: "iris-large", versions: ["1"]),
                ])) == first)
    }

    /// Of the users with one variant of the first experiment half have each of the second.
    @Test func experimentsAreIndependent() throws {
        let first = try variants([Self.experiment("size")])
        let second = try variants([Self.experiment("speed")])
        let both = zip(first, second).count { $0 == 1 && $1 == 1 }
        #expect(abs(both - 500) <= 60)
        // Who takes part says nothing of the variant: the share of each stays half.
        let part = try variants([Self.experiment("size", share: 20)])
        #expect(abs(part.count { $0 == 1 } - 200) <= 40)
        #expect(abs(part.count { $0 == 0 } - 200) <= 40)
    }

    @Test func aGrowingShareKeepsWhoTakesPart() throws {
        var before = try variants([Self.experiment("size", share: 0)])
        #expect(before.allSatisfy { $0 == nil })
        for share in [1, 10, 12.5, 50, 100] {
            let after = try variants([Self.experiment("size", share: .scalar("\(share)"))])
            for (old, new) in zip(before, after) where old != nil { #expect(new == old) }
            before = after
        }
        #expect(before.allSatisfy { $0 != nil })
        // A variant that grows takes users and gives none back.
        let grown = try variants([Self.experiment("size", weights: [1, 3])])
        for (old, new) in zip(before, grown) where old != new { #expect(old == 0 && new == 1) }
    }

    @Test func theFirstExperimentThatAUserTakesPartInDecides() throws {
        let alone = try variants([Self.experiment("size", share: 50)])
        let second = try variants([Self.experiment("speed")])
        let chained = try variants([Self.experiment("size", share: 50), Self.experiment("speed")])
        for index in Self.users.indices { #expect(chained[index] == alone[index] ?? second[index]) }
    }

    @Test func theAssignmentIsTold() throws {
        let router = try RouterUnderTest(
            "ABTest", host,
            config: [
                "experiments": [Self.experiment("size", weights: [0, 1])], "request_header": "x-experiment",
                "response_header": "x-variant",
            ])
        let told = FakeExchange(fields: [("x-user", "u"), ("X-Experiment", "size=control")])
        #expect(router.route(told, model: 0, version: "").status == SLUICE_OK)
        #expect(
            told.edits == [
                .init(side: UInt32(SLUICE_SIDE_REQUEST), name: "x-experiment", value: nil, adds: true),
                .init(side: UInt32(SLUICE_SIDE_REQUEST), name: "x-experiment", value: "size=large"),
                .init(side: UInt32(SLUICE_SIDE_RESPONSE), name: "x-variant", value: "size=large"),
            ])
        // What a client says itself goes no further, whether it takes part or not.
        let outside = FakeExchange(fields: [("x-experiment", "size=large")])
        #expect(router.route(outside, model: 0, version: "").status == SLUICE_DECLINE)
        #expect(outside.edits == [told.edits[0]])
        #expect(host.metric("unkeyed_requests", ["size"])?.value == 1)
    }

    @Test func whatIsAskedForOrDecidedStays() throws {
        let router = try RouterUnderTest("ABTest", host, config: ["experiments": [Self.experiment("size")]])
        let exchange = FakeExchange(fields: [("x-user", "u")])
        #expect(router.route(exchange, model: 0, version: "1").status == SLUICE_DECLINE)
        #expect(router.route(exchange, model: 0, version: "", decided: 1).decision.version == 1)
        #expect(router.route(exchange, model: 1, version: "").status == SLUICE_DECLINE)
        #expect(router.route(exchange, model: UInt32.max, version: "").status == SLUICE_DECLINE)
        #expect(host.metrics.allSatisfy { $0.value == 0 })
    }

    @Test func keysComeFromAllOverTheRequest() throws {
        let sources: [(ConfigTree, FakeExchange)] = [
            (["cookie": "uid"], FakeExchange(fields: [("cookie", "uid=u7")])),
            (["query": "user"], FakeExchange("GET", "/x?a=1&user=u7&user=2")),
            (["peer": true], FakeExchange(peer: "u7:4711")),
            ([["header": "x-none"], ["header": "x-user"]], FakeExchange(fields: [("x-user", " u7 ")])),
            (["tenant": true], FakeExchange()), (["session": true], FakeExchange()),
        ]
        sources[4].1.request.pointee.tenant = sources[4].1.texts.bytes("u7")
        sources[5].1.request.pointee.session = sources[5].1.texts.bytes("u7")
        var assigned: Set<String> = []
        for (key, exchange) in sources {
            let router = try RouterUnderTest(
                "ABTest", host,
                config: [
                    "experiments": [Self.experiment("size", key: key)], "response_header": "x-variant",
                ])
            #expect(router.route(exchange, model: 0, version: "").status == SLUICE_OK)
            assigned.insert(exchange.edits.last?.value ?? "none")
        }
        #expect(assigned.count == 1, "the same key, wherever it stands: \(assigned)")
        #expect(!assigned.contains("none"))
    }

    private static func with(_ key: String, _ value: ConfigTree) -> ConfigTree {
        guard case .mapping(let entries) = experiment("size") else { return .null }
        return ["experiments": [.mapping(entries.filter { $0.0 != key } + [(key, value)])]]
    }

    @Test(
        arguments: [
            ([:], ""), (["experiments": []], ""), (with("name", nil), "experiments[0]"),
            (with("name", "a b"), "experiments[0].name"), (with("model", "none"), "experiments[0].model"),
            (with("share", 101), "experiments[0].share"), (with("key", nil), "experiments[0]"),
            (with("key", []), "experiments[0].key"), (with("key", ["tenant": false]), "experiments[0].key.tenant"),
            (with("key", ["header": "a", "cookie": "b"]), "experiments[0].key"),
            (with("variants", []), "experiments[0]"),
            (with("variants", [["name": "a", "version": "9"]]), "experiments[0].variants[0].version"),
            (with("variants", [["name": "a", "model": "x"]]), "experiments[0].variants[0].model"),
            (with("variants", [["name": "a"]]), "experiments[0].variants[0]"),
            (with("variants", [["name": "a", "version": "1", "weight": 0]]), "experiments[0].variants"),
            (
                with("variants", [["name": "a", "version": "1"], ["name": "a", "version": "2"]]),
                "experiments[0].variants[1]"
            ),
            (["experiments": [experiment("x"), experiment("x")]], "experiments[1].name"),
            (["experiments": [experiment("x")], "request_header": "te"], "request_header"),
            (["experiments": [experiment("x")], "request_header": "Host"], "request_header"),
            (["experiments": .sequence((0..<22).map { experiment("e\($0)") })], "experiments[21]"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsRefusedWhereItIs(config: ConfigTree, path: String) {
        #expect(throws: LoadedPlugin.Failure.self) { try RouterUnderTest("ABTest", host, config: config) }
        #expect(host.configurationErrors.map(\.path) == [path], "\(host.configurationErrors)")
    }
}
