import OpenAICodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// OpenAI's HTTP API. What it speaks stands in `OpenAIProtocol`; this is its face toward the host.
///
/// Configuration: `models`, the names that `/v1/models` is about, `other_paths_model`, the model that gets the paths
/// under `/v1/` which nobody here knows, and `usage_models`, which is the filter's.
struct OpenAI: ProtocolAdapter, ~Copyable {
    static let plugin = PluginDescription(
        name: "openai", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Of the plugin's entry, which adapter and filter share.
    static let configurationKeys = ["models", "other_paths_model", "usage_models"]

    /// More than an operator writes by hand; a request for `/v1/models` compares as many names.
    private static let maximumModels = 1024

    private let codec: OpenAIProtocol
    private let host: Host

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(Self.configurationKeys)
        let other = config["other_paths_model"]
        let otherPathsModel = other.isNull ? "" : try other.text()
        if !other.isNull, otherPathsModel.isEmpty { throw other.error("a model's name is not empty") }
        codec = OpenAIProtocol(
            OpenAIOptions(models: try Self.names(config["models"]), otherPathsModel: otherPathsModel))
        host = context.host
    }

    /// A list of models' names; empty when it is not there.
    static func names(_ node: Configuration) throws(PluginError) -> [String] {
        guard !node.isNull else { return [] }
        let elements = try node.elements()
        guard !elements.isEmpty else { throw node.error("the list is empty; leave it out to mean all models") }
        guard elements.count <= maximumModels else { throw node.error("more than \(maximumModels) models") }
        var names: [String] = []
        for element in elements {
            let name = try element.text()
            if name.isEmpty { throw element.error("a model's name is not empty") }
            if names.contains(name) { throw element.error("this model is there already") }
            names.append(name)
        }
        return names
    }

    var routes: [Route] {
        codec.routes.map { Route("\($0.method)", "\($0.path)") }
    }

    func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        do throws(CodecFailure) {
            if stage == .body {
                try codec.decodeBody(&request.pointer.pointee, arena: exchange.arena)
                return .decoded
            }
            let verdict = try codec.decodeHead(
                match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
            switch verdict {
            case .decoded: return .decoded
            case .needsBody: return .needsBody
            case .declined: return .declined
            case .decodedIfKnown: return host.models.find(request.model) == nil ? .declined : .decoded
            }
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func encode(
        _ response: Response, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        do throws(CodecFailure) {
            try codec.encode(
                response.pointer.pointee, to: request.pointer.pointee, into: &message.pointer.pointee,
                arena: exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func encodeError(
        _ error: ErrorAnswer, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        do throws(CodecFailure) {
            try codec.encodeError(
                error.pointer.pointee, to: request.pointer.pointee, into: &message.pointer.pointee,
                arena: exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        do throws(CodecFailure) {
            let verdict = try codec.encodeRequest(
                request.pointer.pointee, for: target.pointer.pointee, into: &message.pointer.pointee,
                arena: exchange.arena)
            return EncodeVerdict(rawValue: verdict) ?? .pass
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        codec.decodeResponse(
            message.pointer.pointee, to: request.pointer.pointee, into: &response.pointer.pointee)
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, OpenAI.plugin, [.adapter(OpenAI.self), .filter(OpenAIUsage.self)])
}
