import OpenAICodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// OpenAI's HTTP API. What it speaks stands in `OpenAIProtocol`; this is its face toward the host.
///
/// Configuration: `models`, the names that `/v1/models` is about, `other_paths_model`, the model that gets the paths
/// under `/v1/` which nobody here knows, and `usage_models`, which is the filter's.
struct OpenAI: CodecAdapter, ~Copyable {
    static let plugin = PluginDescription(
        name: "openai", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Of the plugin's entry, which adapter and filter share.
    static let configurationKeys = ["models", "other_paths_model", "usage_models"]

    /// More than an operator writes by hand; a request for `/v1/models` compares as many names.
    static let maximumModels = 1024

    let codec: OpenAIProtocol
    private let host: Host

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(Self.configurationKeys)
        let other = config["other_paths_model"]
        let otherPathsModel = other.isNull ? "" : try other.text()
        if !other.isNull, otherPathsModel.isEmpty { throw other.error("a model's name is not empty") }
        // Clients would get 404 for a misspelt one.
        if !other.isNull { _ = try context.host.models.id(of: otherPathsModel, at: other) }
        codec = OpenAIProtocol(
            OpenAIOptions(models: try Self.names(config["models"], context), otherPathsModel: otherPathsModel))
        host = context.host
    }

    /// A list of the gateway's models; empty when it is not there.
    static func names(
        _ node: Configuration, atMost: Int = maximumModels, _ context: Context
    ) throws(PluginError) -> [String] {
        guard !node.isNull else { return [] }
        let elements = try node.elements()
        guard !elements.isEmpty else { throw node.error("the list is empty; leave it out to mean all models") }
        guard elements.count <= atMost else { throw node.error("more than \(atMost) models") }
        var names: [String] = []
        for element in elements {
            let name = try element.text()
            if name.isEmpty { throw element.error("a model's name is not empty") }
            if names.contains(name) { throw element.error("this model is there already") }
            // The tokens of a misspelt one would be counted nowhere.
            _ = try context.host.models.id(of: name, at: element)
            names.append(name)
        }
        return names
    }

    var routes: [Route] {
        codec.routes.map { Route("\($0.method)", "\($0.path)") }
    }

    func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict {
        switch try codec.decodeHead(match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena) {
        case .decoded: .decoded
        case .needsBody: .needsBody
        case .declined: .declined
        case .decodedIfKnown: host.models.find(request.model) == nil ? .declined : .decoded
        }
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, OpenAI.plugin, [.adapter(OpenAI.self), .filter(OpenAIUsage.self)])
}
