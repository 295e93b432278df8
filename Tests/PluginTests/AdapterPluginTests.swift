import SluiceABI
import Testing

/// An adapter's library behind its table.
private struct AdapterUnderTest {
    let host: FakeHost
    let table: UnsafePointer<sluice_adapter>
    let instance: UnsafeMutableRawPointer

    init(_ library: String, _ host: FakeHost, config: ConfigTree = .null) throws {
        self.host = host
        table = try LoadedPlugin(library).table(SLUICE_ADAPTER, as: sluice_adapter.self)
        let (status, instance) = host.create(table.pointee.base, config: config)
        #expect(status == SLUICE_OK)
        self.instance = try #require(instance)
    }

    var routes: [String] {
        var routes: UnsafePointer<sluice_route>?
        var count: UInt32 = 0
        #expect(table.pointee.routes(instance, &routes, &count) == SLUICE_OK)
        return (0..<Int(count)).compactMap { index in
            routes.map { "\(text($0[index].method)) \(text($0[index].path))" }
        }
    }

    func decode(_ exchange: FakeExchange, _ stage: Int32, route: String, _ captures: [String]) -> sluice_status {
        let texts = exchange.texts
        var match = sluice_match()
        match.route = UInt32(routes.firstIndex(of: route) ?? 999)
        match.capture_count = UInt32(captures.count)
        match.captures = texts.array(captures.map { texts.bytes($0) })
        return table.pointee.decode(instance, exchange.handle, UInt32(stage), &match, exchange.request)
    }

    func encodeError(_ exchange: FakeExchange, _ status: sluice_status, _ http: UInt32) -> (UInt32, String, String) {
        var error = sluice_error()
        error.status = status
        error.http_status = http
        error.message = exchange.texts.bytes(host.failure)
        var message = sluice_message()
        #expect(
            table.pointee.encode_error(instance, exchange.handle, exchange.request, &error, &message) == SLUICE_OK)
        let body = (0..<Int(message.body_count)).map { text(message.body[$0]) }.joined()
        return (message.status, message.field_count > 0 ? text(message.fields[0].value) : "", body)
    }

    func encodeRequest(_ exchange: FakeExchange, _ target: inout sluice_target) -> (sluice_status, String) {
        var message = sluice_message()
        let status = table.pointee.encode_request(instance, exchange.handle, exchange.request, &target, &message)
        return (status, text(message.target))
    }
}

/// The adapters as the host meets them: through the C ABI of the built libraries.
@Suite struct AdapterPluginTests {
    private let host = FakeHost()

    @Test func openInferenceDecidesByTheHeadWithoutMemory() throws {
        let adapter = try AdapterUnderTest("OpenInference", host)
        #expect(adapter.routes.first == "GET /v2")
        #expect(adapter.routes.contains(" /v2/models/{model}/{rest...}"))
        #expect(adapter.routes.last == "POST /inference.GRPCInferenceService/{rest...}")
        let exchange = FakeExchange("POST", "/v2/models/iris/versions/2/infer", body: Array("{}".utf8))
        let route = "POST /v2/models/{model}/versions/{version}/infer"
        #expect(adapter.decode(exchange, SLUICE_STAGE_HEAD, route: route, ["iris", "2"]) == SLUICE_OK)
        #expect(text(exchange.request.pointee.model) == "iris")
        #expect(text(exchange.request.pointee.version) == "2")
        #expect(exchange.request.pointee.operation == UInt32(SLUICE_OPERATION_INFER))
        var target = sluice_target()
        target.same_protocol = 1
        #expect(adapter.encodeRequest(exchange, &target) == (SLUICE_PASS, ""))
        #expect(exchange.allocated == 0)
        #expect(adapter.decode(exchange, SLUICE_STAGE_BODY, route: route, ["iris", "2"]) == SLUICE_INVALID_ARGUMENT)
        #expect(host.failure == "the message lacks the field 'inputs'")
        let (status, type, body) = adapter.encodeError(exchange, SLUICE_INVALID_ARGUMENT, 400)
        #expect(status == 400)
        #expect(type == "application/json")
        #expect(body == #"{"error":"the message lacks the field 'inputs'"}"#)
    }

    @Test func restPredictDecidesByTheHeadWithoutMemory() throws {
        let adapter = try AdapterUnderTest("RestPredict", host, config: ["backend_path": "kserve", "float": "fp32"])
        let exchange = FakeExchange("POST", "/v1/models/iris:predict", body: Array(#"{"instances":[[1.5]]}"#.utf8))
        let route = "POST /v1/models/{model}:predict"
        #expect(adapter.decode(exchange, SLUICE_STAGE_HEAD, route: route, ["iris"]) == SLUICE_OK)
        #expect(text(exchange.request.pointee.model) == "iris")
        #expect(exchange.allocated == 0)
        #expect(adapter.decode(exchange, SLUICE_STAGE_BODY, route: route, ["iris"]) == SLUICE_OK)
        #expect(exchange.request.pointee.payload.tensors[0].datatype == UInt32(SLUICE_DATATYPE_FP32))
        var target = sluice_target()
        target.model = exchange.texts.bytes("v")
        #expect(adapter.encodeRequest(exchange, &target) == (SLUICE_OK, "/v1/models/v:predict"))
    }

    @Test func passthroughTakesWhatItsRoutesName() throws {
        let models = ["one", "two"].map { FakeModels.Model(name: $0, versions: ["3"]) }
        let adapter = try AdapterUnderTest(
            "Passthrough", FakeHost(models: models),
            config: [
                "routes": [["prefix": "/a/", "model": "one", "version": "3"], ["host": "b.test", "model": "two"]]
            ])
        // One of HTTP, one of gRPC.
        #expect(adapter.routes == [" *", " *"])
        let first = FakeExchange("PUT", "/a/x?y")
        #expect(adapter.decode(first, SLUICE_STAGE_HEAD, route: " *", []) == SLUICE_OK)
        #expect(text(first.request.pointee.model) == "one")
        #expect(text(first.request.pointee.version) == "3")
        #expect(first.request.pointee.operation == UInt32(SLUICE_OPERATION_OTHER))
        #expect(first.allocated == 0)
        var target = sluice_target()
        target.same_protocol = 1
        #expect(adapter.encodeRequest(first, &target) == (SLUICE_PASS, ""))
        target.same_protocol = 0
        #expect(adapter.encodeRequest(first, &target).0 == SLUICE_UNIMPLEMENTED)
        #expect(adapter.encodeError(first, SLUICE_UNIMPLEMENTED, 501).1 == "application/problem+json")
        let second = FakeExchange("GET", "/z", fields: [("Host", "B.test:80")], body: [1, 2])
        #expect(adapter.decode(second, SLUICE_STAGE_HEAD, route: " *", []) == SLUICE_OK)
        #expect(text(second.request.pointee.model) == "two")
        #expect(adapter.decode(second, SLUICE_STAGE_BODY, route: " *", []) == SLUICE_OK)
        #expect(second.request.pointee.payload.kind == UInt32(SLUICE_PAYLOAD_RAW))
        #expect(second.request.pointee.payload.raw.size == 2)
        #expect(adapter.decode(FakeExchange("GET", "/z"), SLUICE_STAGE_HEAD, route: " *", []) == SLUICE_DECLINE)
    }

    @Test(
        arguments: [
            ("OpenInference", ["binary": "perhaps"], "binary"), ("OpenInference", ["binaries": true], "binaries"),
            ("OpenInference", ["server_model": "nobody"], "server_model"),
            ("RestPredict", ["float": "fp16"], "float"), ("RestPredict", ["backend_path": "v3"], "backend_path"),
            ("RestPredict", ["inputs": ["x": "FP31"]], "inputs.x"), ("RestPredict", ["input_name": ""], "input_name"),
            ("Passthrough", [:], ""), ("Passthrough", ["routes": []], ""),
            ("Passthrough", ["routes": [["prefix": "a", "model": "m"]]], "routes[0].prefix"),
            ("Passthrough", ["routes": [["prefix": "/"]]], "routes[0]"),
            ("Passthrough", ["routes": [["model": "m"]]], "routes[0]"),
            ("Passthrough", ["routes": [["prefixes": "/", "model": "m"]]], "routes[0].prefixes"),
            ("Passthrough", ["routes": [["header": ["value": "v"], "model": "m"]]], "routes[0].header"),
        ] as [(String, ConfigTree, String)])
    func wrongConfigurationIsRefusedWhereItStands(library: String, config: ConfigTree, path: String) throws {
        let table = try LoadedPlugin(library).table(SLUICE_ADAPTER, as: sluice_adapter.self)
        let (status, instance) = host.create(table.pointee.base, config: config)
        #expect(status < 0)
        #expect(instance == nil)
        #expect(host.configurationErrors.count == 1)
        #expect(host.configurationErrors.first?.path == path)
    }
}
