import SluiceABI
import Testing

/// The filter of OpenAI's library as the host meets it.
@Suite struct OpenAIUsageTests {
    private let host = FakeHost(models: [.init(name: "gpt", versions: ["1"])])

    private func answer(
        _ exchange: FakeExchange, _ filter: FilterUnderTest, operation: Int32 = SLUICE_OPERATION_CHAT,
        status: UInt32 = 200, type: String = "text/event-stream", encoding: String? = nil
    ) -> sluice_status {
        exchange.request.pointee.operation = UInt32(operation)
        exchange.request.pointee.model_id = 0
        var fields = [("Content-Type", type)]
        if let encoding { fields.append(("Content-Encoding", encoding)) }
        var message = sluice_message()
        message.status = status
        message.body_state = UInt32(SLUICE_BODY_STREAMING)
        message.fields = exchange.texts.array(
            fields.map { sluice_field(name: exchange.texts.bytes($0.0), value: exchange.texts.bytes($0.1)) })
        message.field_count = UInt32(fields.count)
        var response = sluice_response()
        response.message = UnsafePointer(exchange.texts.mutable([message]))
        return filter.table.pointee.on_response(filter.instance, exchange.handle, exchange.request, &response)
    }

    private func chunk(_ exchange: FakeExchange, _ filter: FilterUnderTest, _ content: String, side: Int32 = 2) {
        let bytes = exchange.texts.bytes(content)
        #expect(
            filter.table.pointee.on_chunk(filter.instance, exchange.handle, UInt32(side), bytes) == SLUICE_OK)
    }

    private var total: Double { host.metric("tokens_total")?.value ?? -1 }

    @Test func answersThatStreamAtOnceAreKeptApart() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        #expect(filter.table.pointee.needs(filter.instance) == UInt32(SLUICE_FILTER_CHUNKS))
        let exchanges = (0..<4_000).map { index in
            let exchange = FakeExchange()
            exchange.token = UInt64(index) | 3 << 24 | 1 << 52
            return exchange
        }
        for exchange in exchanges { #expect(answer(exchange, filter) == SLUICE_OK) }
        for exchange in exchanges { chunk(exchange, filter, "data: {\"usage\":{\"prompt_tok") }
        #expect(total == 0)
        for exchange in exchanges { chunk(exchange, filter, "ens\":2}}\n\ndata: [DONE]\n\n") }
        #expect(total == 8_000)
        // Its end was there: the token's next chunks are nobody's.
        chunk(exchanges[0], filter, "data: {\"usage\":{\"prompt_tokens\":9}}\n\n")
        #expect(total == 8_000)
    }

    @Test func whatNeverEndsIsPushedOutWithoutHarm() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        let survivor = FakeExchange()
        survivor.token = 5
        _ = answer(survivor, filter)
        for generation in 1...100 {
            let exchange = FakeExchange()
            // Another place of the table, over and over.
            exchange.token = UInt64(generation) << 24 | 6
            #expect(answer(exchange, filter) == SLUICE_OK)
            chunk(exchange, filter, "data: {\"usage\":{\"prompt_tokens\":1}}\n\n")
        }
        chunk(survivor, filter, "data: {\"usage\":{\"prompt_tokens\":1000}}\n\n")
        #expect(total == 1_100)
    }

    @Test func otherAnswersAreLeftAlone() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        let usage = "{\"usage\":{\"prompt_tokens\":2}}"
        for (operation, status, type, encoding) in [
            (SLUICE_OPERATION_INFER, 200, "application/json", nil),
            (SLUICE_OPERATION_CHAT, 500, "application/json", nil),
            (SLUICE_OPERATION_CHAT, 200, "text/plain", nil), (SLUICE_OPERATION_CHAT, 200, "application/json", "gzip"),
        ] as [(Int32, UInt32, String, String?)] {
            let exchange = FakeExchange()
            #expect(
                answer(exchange, filter, operation: operation, status: status, type: type, encoding: encoding)
                    == SLUICE_OK)
            #expect(exchange.allocated == 0)
            chunk(exchange, filter, usage)
        }
        #expect(total == 0)
        let exchange = FakeExchange()
        _ = answer(exchange, filter, operation: SLUICE_OPERATION_EMBED, type: "application/json", encoding: "identity")
        chunk(exchange, filter, usage, side: SLUICE_SIDE_REQUEST)
        #expect(total == 0)
        chunk(exchange, filter, usage)
        #expect(total == 2)
    }

    @Test func aCancelledAnswerIsForgotten() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        let exchange = FakeExchange()
        _ = answer(exchange, filter)
        filter.table.pointee.on_cancel(filter.instance, exchange.handle)
        chunk(exchange, filter, "data: {\"usage\":{\"prompt_tokens\":2}}\n\n")
        #expect(total == 0)
    }

    @Test func withoutMemoryTheAnswerGoesUncounted() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        host.arenaBound = 8
        let exchange = FakeExchange()
        #expect(answer(exchange, filter) == SLUICE_OK)
        chunk(exchange, filter, "data: {\"usage\":{\"prompt_tokens\":2}}\n\n")
        #expect(total == 0)
    }

    @Test func compressionIsNotAskedFor() throws {
        let filter = try FilterUnderTest("OpenAI", host)
        let exchange = FakeExchange(fields: [("accept-encoding", "gzip, br")])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        #expect(exchange.edits.isEmpty, "another operation's")
        exchange.request.pointee.operation = UInt32(SLUICE_OPERATION_COMPLETION)
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        let edit = FakeExchange.Edit(
            side: UInt32(SLUICE_SIDE_REQUEST), name: "Accept-Encoding", value: "identity")
        #expect(exchange.edits == [edit])
        let plain = FakeExchange()
        plain.request.pointee.operation = UInt32(SLUICE_OPERATION_COMPLETION)
        #expect(filter.onRequest(plain) == SLUICE_OK)
        #expect(plain.edits.isEmpty)
    }

    @Test(
        arguments: [
            (["models": []], "models"), (["models": "gpt"], "models"), (["models": ["gpt", "gpt"]], "models[1]"),
            (["models": [""]], "models[0]"), (["other_paths_model": ""], "other_paths_model"),
            (["other_path_model": "gpt"], "other_path_model"), (["models": ["gpt", "gtp"]], "models[1]"),
            (["models": ["gpt"], "other_paths_model": "gtp"], "other_paths_model"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationOfTheAdapterIsNamedByItsPlace(config: ConfigTree, path: String) throws {
        let table = try LoadedPlugin("OpenAI").table(SLUICE_ADAPTER, as: sluice_adapter.self)
        let (status, instance) = host.create(table.pointee.base, config: config)
        #expect(status == SLUICE_INVALID_ARGUMENT)
        #expect(instance == nil)
        #expect(host.configurationErrors.map(\.path) == [path])
    }

    @Test func theFilterKnowsItsModels() throws {
        let table = try LoadedPlugin("OpenAI").table(SLUICE_FILTER, as: sluice_filter.self)
        #expect(host.create(table.pointee.base, config: ["usage_models": ["gpt", "gtp"]]).instance == nil)
        #expect(host.configurationErrors.map(\.path) == ["usage_models[1]"])
        #expect(host.configurationErrors.first?.text == "no model is named 'gtp'; list it under `models`")
    }

    @Test func theFilterCountsTwentyModelsApart() throws {
        let host = FakeHost(models: (0..<21).map { .init(name: "m\($0)", versions: ["1"]) })
        let table = try LoadedPlugin("OpenAI").table(SLUICE_FILTER, as: sluice_filter.self)
        func create(_ count: Int) -> UnsafeMutableRawPointer? {
            host.create(
                table.pointee.base,
                config: ["usage_models": .sequence((0..<count).map { ConfigTree.scalar("m\($0)") })]
            ).instance
        }
        let instance = create(20)
        #expect(instance != nil)
        table.pointee.base.destroy(instance)
        #expect(create(21) == nil)
        #expect(host.configurationErrors.map(\.path) == ["usage_models"])
    }
}
