import SluiceABI
import Testing

@Suite struct HeadersTests {
    let host = FakeHost()
    private typealias Edit = FakeExchange.Edit
    private static let (toEndpoint, toClient) = (UInt32(SLUICE_SIDE_REQUEST), UInt32(SLUICE_SIDE_RESPONSE))

    private func requestEdits(_ config: ConfigTree, _ exchange: FakeExchange) throws -> [FakeExchange.Edit] {
        let filter = try FilterUnderTest("Headers", host, config: ["request": config])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        return exchange.edits
    }

    @Test func fieldsAreRemovedRenamedSetAndAppendedInThisOrder() throws {
        let config: ConfigTree = [
            "append": ["x-seen": "sluice"], "set": ["x-fixed": "v"], "rename": ["x-user": "x-client"],
            "remove": ["X-Client", "x-debug"],
        ]
        let exchange = FakeExchange(fields: [("X-User", "a"), ("x-client", "forged"), ("x-user", " b ")])
        #expect(
            try requestEdits(config, exchange) == [
                Edit(side: Self.toEndpoint, name: "X-Client", value: nil),
                Edit(side: Self.toEndpoint, name: "x-debug", value: nil),
                Edit(side: Self.toEndpoint, name: "x-client", value: "a", adds: true),
                Edit(side: Self.toEndpoint, name: "x-client", value: "b", adds: true),
                Edit(side: Self.toEndpoint, name: "x-user", value: nil),
                Edit(side: Self.toEndpoint, name: "x-fixed", value: "v"),
                Edit(side: Self.toEndpoint, name: "x-seen", value: "sluice", adds: true),
            ])
        #expect(try requestEdits(["rename": ["x-user": "x-client"]], FakeExchange()) == [])
    }

    @Test(
        arguments: [
            ("$(tenant)", "acme"), ("t=$(tenant);m=$(model)/$(version)", "t=acme;m=iris/2"),
            ("$(peer)", "10.0.0.7:5012"),
            ("$(peer_address)", "10.0.0.7"), ("$(request_id)", "r-1"), ("$(session)", "s-1"), ("$(priority)", "5"),
            ("$(method) $(path)", "POST /p"), ("$(host)", "h.test"), ("$(header:X-In)", "in"),
            ("a$$b$$(tenant) $5 $", "a$b$(tenant) $5 $"), ("$(header:x-none)", nil), ("  ", nil),
            ("x$(header:x-none)", "x"), ("\u{e9}", "\u{e9}"),
        ] as [(String, String?)])
    func templatesAreFilledFromTheRequest(template: String, value: String?) throws {
        let exchange = FakeExchange(
            "POST", "/p?q", fields: [("host", "h.test"), ("x-in", "in")], peer: "10.0.0.7:5012")
        let request = exchange.request
        request.pointee.tenant = exchange.texts.bytes("acme")
        request.pointee.model = exchange.texts.bytes("iris")
        request.pointee.version = exchange.texts.bytes("2")
        request.pointee.id = exchange.texts.bytes("r-1")
        request.pointee.session = exchange.texts.bytes("s-1")
        // White space alone is refused; all else is set, or removed when there is nothing to say.
        guard template != "  " else {
            #expect(throws: LoadedPlugin.Failure.self) { try requestEdits(["set": ["x-out": "  "]], exchange) }
            return
        }
        let edits = try requestEdits(["set": ["x-out": .scalar(template)]], exchange)
        #expect(edits == [Edit(side: Self.toEndpoint, name: "x-out", value: value)])
        // There is nothing to append where there is nothing to say.
        let other = FakeExchange()
        #expect(try requestEdits(["append": ["x-out": "$(tenant)"]], other).isEmpty)
    }

    /// A request has exactly one Host (RFC 9112 §3.2); an answer may have what it likes.
    @Test(
        arguments: [
            ["remove": ["x", "Host"]], ["rename": ["host": "x-host"]], ["rename": ["x-host": "HOST"]],
            ["append": ["host": "a.test"]],
        ] as [ConfigTree])
    func theHostOfARequestCanOnlyBeSet(config: ConfigTree) throws {
        #expect(throws: LoadedPlugin.Failure.self) { try requestEdits(config, FakeExchange()) }
        _ = try FilterUnderTest("Headers", host, config: ["response": config])
        #expect(
            try requestEdits(["set": ["host": "a.test"]], FakeExchange())
                == [Edit(side: Self.toEndpoint, name: "host", value: "a.test")])
    }

    @Test func theIdOfARequestMayStandInAField() throws {
        let exchange = FakeExchange(fields: [("X-Request-Id", "from-client")])
        let edits = try requestEdits(["set": ["x-id": "$(request_id)"]], exchange)
        #expect(edits.map(\.value) == ["from-client"])
    }

    /// An id may stand in the body, which a filter before it was read does not know yet.
    @Test func theIdOfABodyIsKnownWithTheAnswer() throws {
        let filter = try FilterUnderTest(
            "Headers", host,
            config: ["response": ["set": ["x-id": "$(request_id)"], "append": ["x-ids": "$(request_id)"]]])
        let exchange = FakeExchange(fields: [("X-Request-Id", "from-client")])
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        // Errors have what is known so far.
        let early = Edit(side: Self.toClient, name: "x-id", value: "from-client")
        #expect(exchange.edits == [early])
        exchange.request.pointee.id = exchange.texts.bytes("from-body")
        var response = sluice_response()
        #expect(filter.onResponse(exchange, &response) == SLUICE_OK)
        #expect(
            exchange.edits == [
                early, Edit(side: Self.toClient, name: "x-id", value: "from-body"),
                Edit(side: Self.toClient, name: "x-ids", value: "from-body", adds: true),
            ])
        // Each of them is two edits of the few that there may be.
        let seven = (1...7).map { ("x-\($0)", ConfigTree.scalar("$(request_id)")) }
        #expect(throws: LoadedPlugin.Failure.self) {
            _ = try FilterUnderTest(
                "Headers", host, config: ["response": ["set": .mapping(seven)]])
        }
    }

    /// A model's name may come out of a JSON body, with any byte in it.
    @Test(arguments: ["a\r\nx-admin: 1", "a\0", "a\u{7f}"])
    func aValueThatWouldBreakTheMessageFailsTheRequest(model: String) throws {
        let filter = try FilterUnderTest("Headers", host, config: ["request": ["set": ["x-model": "$(model)"]]])
        let exchange = FakeExchange()
        exchange.request.pointee.model = exchange.texts.bytes(model)
        #expect(filter.onRequest(exchange) == SLUICE_INVALID_ARGUMENT)
        #expect(host.failure == "the value for the field x-model would hold a control character")
        #expect(exchange.edits.isEmpty)
    }

    @Test func responsesAreToldWhoAnswered() throws {
        let filter = try FilterUnderTest(
            "Headers", host,
            config: [
                "response": [
                    "set": ["x-model": "$(model)/$(version)", "x-frame": "deny"], "append": ["x-status": "$(status)"],
                    "remove": ["server"], "rename": ["x-took": "x-backend-took"],
                ]
            ])
        let exchange = FakeExchange()
        exchange.request.pointee.version = exchange.texts.bytes("stable")
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        // Errors, which no filter sees, have these, too.
        let early = [
            Edit(side: Self.toClient, name: "server", value: nil),
            Edit(side: Self.toClient, name: "x-frame", value: "deny"),
        ]
        #expect(exchange.edits == early)
        var message = sluice_message()
        message.status = 201
        message.fields = exchange.texts.array([
            sluice_field(name: exchange.texts.bytes("X-Took"), value: exchange.texts.bytes("3"))
        ])
        message.field_count = 1
        var response = sluice_response()
        response.model = exchange.texts.bytes("iris")
        response.version = exchange.texts.bytes("2")
        let status = withUnsafePointer(to: &message) { message in
            response.message = message
            return filter.onResponse(exchange, &response)
        }
        #expect(status == SLUICE_OK)
        #expect(
            Array(exchange.edits.dropFirst(early.count)) == [
                Edit(side: Self.toClient, name: "x-backend-took", value: "3", adds: true),
                Edit(side: Self.toClient, name: "x-took", value: nil),
                Edit(side: Self.toClient, name: "x-model", value: "iris/2"),
                Edit(side: Self.toClient, name: "x-status", value: "201", adds: true),
            ])
        // An answer that was made in the gateway.
        var own = sluice_response()
        let second = FakeExchange()
        #expect(filter.onResponse(second, &own) == SLUICE_OK)
        #expect(second.edits.last?.value == "200")
    }

    @Test func whatIsAppendedComesBehindAnEditThatHadToWait() throws {
        let filter = try FilterUnderTest(
            "Headers", host,
            config: [
                "response": [
                    "set": ["x-model": "$(model)", "x-plain": "1"], "rename": ["x-old": "x-new"],
                    "append": ["X-Model": "more", "X-New": "too", "x-plain": "2"],
                ]
            ])
        let exchange = FakeExchange()
        #expect(filter.onRequest(exchange) == SLUICE_OK)
        let early = [
            Edit(side: Self.toClient, name: "x-plain", value: "1"),
            Edit(side: Self.toClient, name: "x-plain", value: "2", adds: true),
        ]
        #expect(exchange.edits == early)
        var response = sluice_response()
        response.model = exchange.texts.bytes("iris")
        #expect(filter.onResponse(exchange, &response) == SLUICE_OK)
        #expect(
            Array(exchange.edits.dropFirst(early.count)) == [
                Edit(side: Self.toClient, name: "x-model", value: "iris"),
                Edit(side: Self.toClient, name: "X-Model", value: "more", adds: true),
                Edit(side: Self.toClient, name: "X-New", value: "too", adds: true),
            ])
    }

    @Test(
        arguments: [
            (["headers": [:]], "headers"), (["request": ["add": [:]]], "request.add"),
            (["request": ["set": ["x y": "1"]]], "request.set.x y"),
            (["request": ["set": ["": "1"]]], "request.set."),
            (["request": ["set": ["Connection": "close"]]], "request.set.Connection"),
            (["request": ["append": ["content-length": "1"]]], "request.append.content-length"),
            (["response": ["remove": ["Transfer-Encoding"]]], "response.remove[0]"),
            (["request": ["rename": ["te": "x"]]], "request.rename.te"),
            (["request": ["rename": ["x": "upgrade"]]], "request.rename.x"),
            (["request": ["rename": ["x": "X"]]], "request.rename.x"),
            (["request": ["set": ["x": "a\nb"]]], "request.set.x"),
            (["request": ["set": ["x": "a "]]], "request.set.x"),
            (["request": ["set": ["x": "$(tenant"]]], "request.set.x"),
            (["request": ["set": ["x": "$(tenants)"]]], "request.set.x"),
            (["request": ["set": ["x": "$(header:)"]]], "request.set.x"),
            (["request": ["set": ["x": "$(status)"]]], "request.set.x"),
            (["request": ["set": ["x": "1", "X": "2"]]], "request.set.X"),
            (["request": ["remove": ["x"], "set": ["X": "2"]]], "request.set.X"),
            (["request": ["rename": ["a": "x"], "set": ["X": "2"]]], "request.set.X"),
            (["request": ["rename": ["a": "b", "B": "c"]]], "request.rename"),
            (["response": ["append": .mapping((0..<13).map { ("x-\($0)", "1") })]], "response"),
        ] as [(ConfigTree, String)])
    func aWrongConfigurationIsRefusedWhereItIs(config: ConfigTree, path: String) {
        #expect(throws: LoadedPlugin.Failure.self) { try FilterUnderTest("Headers", host, config: config) }
        #expect(host.configurationErrors.map(\.path) == [path], "\(host.configurationErrors)")
    }
}
