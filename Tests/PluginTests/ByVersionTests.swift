import SluiceABI
import Testing

@Suite struct ByVersionTests {
    static let models = [
        FakeModels.Model(name: "iris", versions: ["9", "10", "2"], labels: [("stable", 2), ("next", 1)]),
        FakeModels.Model(name: "digits", versions: ["v1.10", "v1.9"]),
        FakeModels.Model(name: "web", versions: ["007", "8", "1"]),
    ]
    let host = FakeHost(models: models)

    @Test(arguments: [("9", 0), ("10", 1), ("2", 2), ("stable", 2), ("next", 1), ("latest", 1), ("", 1)])
    func choosesExactlyByLabelOrTheLatest(asked: String, index: UInt32) throws {
        let router = try RouterUnderTest("ByVersion", host)
        let (status, decision) = router.route(FakeExchange(), model: 0, version: asked)
        #expect(status == SLUICE_OK)
        #expect(decision.version == index)
    }

    @Test(arguments: [(UInt32(0), UInt32(1)), (1, 0), (2, 1)])
    func comparesNumbersAsNumbers(model: UInt32, index: UInt32) throws {
        let router = try RouterUnderTest("ByVersion", host)
        #expect(router.route(FakeExchange(), model: model, version: "").decision.version == index)
    }

    @Test func namesWhatIsNotThere() throws {
        let router = try RouterUnderTest("ByVersion", host)
        let (status, decision) = router.route(FakeExchange(), model: 0, version: "11")
        #expect(status == SLUICE_NOT_FOUND)
        #expect(host.failure == "model 'iris' has no version or label '11'")
        #expect(decision.version == UInt32.max)
    }

    /// A name of which only a part is repeated ends with a whole character, or the error could not be sent as JSON.
    @Test(arguments: ["é", "€", "😀"]) func repeatsNoPartOfACharacter(character: String) throws {
        let router = try RouterUnderTest("ByVersion", host)
        for before in 0..<character.utf8.count {
            let start = String(repeating: "a", count: before)
            let name = start + String(repeating: character, count: 100)
            #expect(router.route(FakeExchange(), model: 0, version: name).status == SLUICE_NOT_FOUND)
            let count = (128 - before) / character.utf8.count
            let shown = start + String(repeating: character, count: count)
            #expect(host.failure == "model 'iris' has no version or label '\(shown)'")
        }
    }

    @Test func aConfiguredDefaultStandsForNoName() throws {
        let router = try RouterUnderTest("ByVersion", host, config: ["default": "stable"])
        #expect(router.route(FakeExchange(), model: 0, version: "").decision.version == 2)
        // A model without that label keeps its latest, and the operator hears of it.
        #expect(router.route(FakeExchange(), model: 1, version: "").decision.version == 0)
        #expect(host.log.filter { $0.text.contains("digits") && $0.text.contains("stable") }.count == 1)
        #expect(router.route(FakeExchange(), model: 0, version: "latest").decision.version == 1)
    }

    /// Asked for by that name, by none, or since the configuration says so.
    @Test(arguments: [[:], ["default": "latest"]] as [ConfigTree])
    func aLabelMayHaveTheNameOfTheLatest(config: ConfigTree) throws {
        let host = FakeHost(models: [
            FakeModels.Model(name: "iris", versions: ["1", "2"], labels: [("latest", 0)]),
            FakeModels.Model(name: "web", versions: ["1", "2"]),
        ])
        let router = try RouterUnderTest("ByVersion", host, config: config)
        for asked in ["latest", ""] {
            #expect(router.route(FakeExchange(), model: 0, version: asked).decision.version == 0)
            #expect(router.route(FakeExchange(), model: 1, version: asked).decision.version == 1)
        }
        #expect(host.log.isEmpty)
    }

    @Test func aConfiguredHeaderNamesTheVersionWhereThePathDoesNot() throws {
        let router = try RouterUnderTest("ByVersion", host, config: ["header": "x-model-version"])
        let exchange = FakeExchange(fields: [("X-Model-Version", "stable")])
        #expect(router.route(exchange, model: 0, version: "").decision.version == 2)
        #expect(router.route(exchange, model: 0, version: "9").decision.version == 0)
        let wrong = FakeExchange(fields: [("x-model-version", "nonsense")])
        #expect(router.route(wrong, model: 0, version: "").status == SLUICE_NOT_FOUND)
    }

    @Test(arguments: ["", "x-version:", "x version"]) func aHeaderThatNobodyCanSendIsRefused(name: String) {
        #expect(throws: LoadedPlugin.Failure.self) {
            try RouterUnderTest("ByVersion", host, config: ["header": .scalar(name)])
        }
        #expect(host.configurationErrors.map(\.path) == ["header"])
    }

    @Test func leavesWhatIsNotItsToDecide() throws {
        let router = try RouterUnderTest("ByVersion", host)
        #expect(router.route(FakeExchange(), model: UInt32.max, version: "9").status == SLUICE_DECLINE)
        #expect(router.route(FakeExchange(), model: 77, version: "9").status == SLUICE_DECLINE)
        let (status, decision) = router.route(FakeExchange(), model: 0, version: "9", decided: 2)
        #expect(status == SLUICE_DECLINE)
        #expect(decision.version == 2)
    }
}

/// A router's library with one instance of it.
final class RouterUnderTest {
    private let plugin: LoadedPlugin
    let table: UnsafePointer<sluice_router>
    let instance: UnsafeMutableRawPointer

    init(_ name: String, _ host: FakeHost, config: ConfigTree = .null) throws {
        plugin = try LoadedPlugin(name)
        table = try plugin.table(SLUICE_ROUTER, as: sluice_router.self)
        let made = host.create(table.pointee.base, config: config)
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(description: "no instance: status \(made.status), \(host.failure)")
        }
        self.instance = instance
    }

    deinit { table.pointee.base.destroy(instance) }

    func route(
        _ exchange: FakeExchange, model: UInt32, version: String, decided: UInt32 = UInt32.max
    ) -> (status: sluice_status, decision: sluice_route_decision) {
        exchange.request.pointee.model_id = model
        exchange.request.pointee.version = exchange.texts.bytes(version)
        var decision = sluice_route_decision(
            model: model, version: decided, pool: UInt32.max, priority: 5, deadline_ns: UInt64.max)
        let status = table.pointee.route(instance, exchange.handle, exchange.request, &decision)
        return (status, decision)
    }
}
