import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import SluicePlugin
import SluiceProtobuf

/// The Open Inference Protocol (KServe v2, Triton) over HTTP and gRPC. What it speaks stands in
/// `OpenInferenceProtocol`; this is its face toward the host.
///
/// Configuration: `binary: true` sends tensors to backends as binary data where a request is encoded anew over HTTP.
/// False unless said, for MLServer reads JSON only there. `server_model` names the model whose backend gets gRPC calls
/// that name none.
struct OpenInference: CodecAdapter {
    static let plugin = PluginDescription(
        name: "open-inference", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec: OpenInferenceProtocol

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["binary", "server_model"])
        let binary = context.config["binary"]
        let serverModel = context.config["server_model"]
        if !serverModel.isNull { _ = try context.host.models.id(of: serverModel.text(), at: serverModel) }
        codec = OpenInferenceProtocol(
            isBinary: binary.isNull ? false : try binary.boolean(),
            serverModel: serverModel.isNull ? "" : try serverModel.text())
    }

    var routes: [Route] {
        OpenInferenceProtocol.Route.allCases.map { Route("\($0.method)", "\($0.path)") } + InferenceMethod.routes
    }

    /// The routes of gRPC follow those of HTTP.
    private static let firstCall = OpenInferenceProtocol.Route.allCases.count

    func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict {
        if match.route >= Self.firstCall {
            let verdict = try codec.decodeCall(
                match.route - Self.firstCall, &request.pointer.pointee, arena: exchange.arena)
            return DecodeVerdict(rawValue: verdict) ?? .declined
        }
        return try codec.decodeHead(match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
            ? .decoded : .declined
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, OpenInference.self)
}
