import PassthroughCodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// Any HTTP exchange, untouched but for the fields of the connection, to a model by path prefix, host or header: how an
/// operator fronts what no other adapter knows.
///
/// Configuration: `routes`, a list of `{prefix, host, header: {name, value}, model, version, upgrade}`; the first
/// one whose conditions all hold counts. Without a match the adapter declines.
struct Passthrough: ProtocolAdapter, ~Copyable {
    static let plugin = PluginDescription(
        name: "passthrough", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// More rules than an operator writes by hand; each is compared for each request that no earlier one took.
    private static let maximumRoutes = 1024

    private let table: RouteTable

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["routes"])
        let elements = try config["routes"].elements()
        guard !elements.isEmpty else {
            throw config.error("passthrough needs 'routes', a list with at least one entry")
        }
        guard elements.count <= Self.maximumRoutes else {
            throw config["routes"].error("more than \(Self.maximumRoutes) routes")
        }
        var rules: [RouteTable.Rule] = []
        for element in elements {
            rules.append(try Self.rule(element, context.host.models))
        }
        table = RouteTable(rules)
        PowersOfTen.prepare()
        MessageFields.prepare()
    }

    private static func rule(_ node: Configuration, _ models: Models) throws(PluginError) -> RouteTable.Rule {
        try node.allow(["prefix", "host", "header", "model", "version", "upgrade"])
        var rule = RouteTable.Rule()
        func text(_ node: Configuration) throws(PluginError) -> String { node.isNull ? "" : try node.text() }
        rule.prefix = try text(node["prefix"])
        if !rule.prefix.isEmpty, !rule.prefix.hasPrefix("/") {
            throw node["prefix"].error("a prefix begins with '/'")
        }
        rule.host = try text(node["host"])
        let header = node["header"]
        if !header.isNull {
            try header.allow(["name", "value"])
            guard !header["name"].isNull else { throw header.error("a header needs a name") }
            rule.headerName = try header["name"].text()
            rule.headerValue = try text(header["value"])
        }
        if rule.prefix.isEmpty, rule.host.isEmpty, rule.headerName.isEmpty {
            throw node.error("a route needs a prefix, a host or a header; 'prefix: /' matches all")
        }
        let model = node["model"]
        guard !model.isNull else { throw node.error("a route needs a model") }
        rule.model = try model.text()
        _ = try models.id(of: rule.model, at: model)
        rule.version = try text(node["version"])
        let upgrade = node["upgrade"]
        if !upgrade.isNull {
            for name in try upgrade.elements() {
                guard try name.text() == "websocket" else {
                    throw name.error("'websocket' is the only protocol that may be upgraded to")
                }
                rule.allowsWebSocket = true
            }
        }
        return rule
    }

    var routes: [Route] { [Route("", "*"), Route("", "*", transport: .grpc)] }

    func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        guard let message = request.pointer.pointee.message else { return .declined }
        if stage == .body {
            request.pointer.pointee.payload = sluice_payload(rawBodyOf: message.pointee)
            return .decoded
        }
        guard let route = table.match(message.pointee) else { return .declined }
        request.pointer.pointee.model = route.model
        request.pointer.pointee.version = route.version
        let upgrades = route.allowsWebSocket && Self.asksForWebSocket(message.pointee)
        request.pointer.pointee.operation = UInt32(upgrades ? SLUICE_OPERATION_UPGRADE : SLUICE_OPERATION_OTHER)
        request.pointer.pointee.rest = message.pointee.target
        return .decoded
    }

    /// The host sees to it that the rest of the request is as RFC 6455 §4.1 wants it.
    private static func asksForWebSocket(_ message: sluice_message) -> Bool {
        message.field("upgrade")?.equalsIgnoringCase(.literal("websocket")) ?? false
    }

    func encode(
        _ response: Response, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        do throws(CodecFailure) {
            try Self.encode(response.pointer.pointee, into: &message.pointer.pointee, exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
    }

    private static func encode(
        _ response: sluice_response, into message: inout sluice_message, _ arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_HTTP)
        message.status = response.http_status == 0 ? 200 : response.http_status
        try MessageFields.setBody(
            passing: response, orFail: "an answer of tensors has no form in a protocol that is only passed on",
            on: &message, arena: arena)
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    func encodeError(
        _ error: ErrorAnswer, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        do throws(CodecFailure) {
            try ProblemText.write(
                error.pointer.pointee, to: request.pointer.pointee, into: &message.pointer.pointee,
                arena: exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        guard target.sameProtocol else {
            throw PluginError(.unimplemented, "a request of another protocol cannot be passed through")
        }
        return .pass
    }

    func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        // An error of the backend is an answer like others: nobody here knows better than it.
        response.pointer.pointee.operation = request.pointer.pointee.operation
        response.pointer.pointee.http_status = message.pointer.pointee.status
        response.pointer.pointee.payload = sluice_payload(rawBodyOf: message.pointer.pointee)
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, Passthrough.self)
}
