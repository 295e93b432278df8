import RestPredictCodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// TensorFlow Serving's REST API, KServe v1 and the plain `…/versions/{version}/predict`. What it speaks stands in
/// `RestPredictProtocol`; this is its face toward the host.
///
/// Configuration: `float` (fp64 or fp32), `backend_path` (tfserving, kserve or versioned), `input_name`, `output_name`,
/// and `inputs`, a mapping from names of inputs to datatypes.
struct RestPredict: CodecAdapter, ~Copyable {
    static let plugin = PluginDescription(
        name: "rest-predict", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec: RestPredictProtocol
    private let options: PredictOptions

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["float", "backend_path", "input_name", "output_name", "inputs"])
        options = PredictOptions(
            float: try Self.float(config["float"]), backendPath: try Self.backendPath(config["backend_path"]),
            inputName: try Self.name(config["input_name"], else: "input-0"),
            outputName: try Self.name(config["output_name"], else: "output-0"),
            datatypes: try Self.datatypes(config["inputs"]))
        codec = RestPredictProtocol(options)
    }

    deinit { options.end() }

    private static func float(_ node: Configuration) throws(PluginError) -> Datatype {
        guard !node.isNull else { return .fp64 }
        switch try node.text() {
        case "fp64": return .fp64
        case "fp32": return .fp32
        default: throw node.error("expected fp64 or fp32")
        }
    }

    private static func backendPath(_ node: Configuration) throws(PluginError) -> BackendPath? {
        guard !node.isNull else { return nil }
        guard let path = BackendPath(rawValue: try node.text()) else {
            throw node.error("expected one of \(BackendPath.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return path
    }

    private static func name(_ node: Configuration, else fallback: String) throws(PluginError) -> String {
        guard !node.isNull else { return fallback }
        let name = try node.text()
        guard !name.isEmpty else { throw node.error("a tensor's name cannot be empty") }
        return name
    }

    private static func datatypes(
        _ node: Configuration
    ) throws(PluginError) -> [(name: String, datatype: Datatype)] {
        var result: [(name: String, datatype: Datatype)] = []
        for (name, value) in try node.members() {
            let text = try value.text()
            guard let datatype = Datatype.allCases.first(where: { "\($0.name)" == text }) else {
                let known = Datatype.allCases.map { "\($0.name)" }.joined(separator: ", ")
                throw value.error("unknown datatype '\(text)'; known are \(known)")
            }
            result.append((name, datatype))
        }
        return result
    }

    var routes: [Route] {
        PredictRoute.all.map { Route("\($0.method)", "\($0.path)") }
    }

    func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict {
        try codec.decodeHead(match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
            ? .decoded : .declined
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, RestPredict.self)
}
