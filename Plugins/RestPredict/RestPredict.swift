import RestPredictCodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// TensorFlow Serving's REST API, KServe v1 and the plain `…/versions/{version}/predict`. What it speaks stands in
/// `RestPredictProtocol`; this is its face toward the host.
///
/// Configuration: `float` (fp64 or fp32), `backend_path` (tfserving, kserve or versioned), `input_name`, `output_name`,
/// and `inputs`, a mapping from names of inputs to datatypes.
struct RestPredict: ProtocolAdapter, ~Copyable {
    static let plugin = PluginDescription(
        name: "rest-predict", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let codec: RestPredictProtocol

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["float", "backend_path", "input_name", "output_name", "inputs"])
        codec = RestPredictProtocol(
            PredictOptions(
                float: try Self.float(config["float"]), backendPath: try Self.backendPath(config["backend_path"]),
                inputName: try Self.name(config["input_name"], else: "input-0"),
                outputName: try Self.name(config["output_name"], else: "output-0"),
                datatypes: try Self.datatypes(config["inputs"])))
    }

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

    func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        do throws(CodecFailure) {
            if stage == .body {
                try codec.decodeBody(&request.pointer.pointee, arena: exchange.arena)
                return .decoded
            }
            return try codec.decodeHead(match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
                ? .decoded : .declined
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
            return EncodeVerdict(rawValue: verdict) ?? .encoded
        } catch {
            throw PluginError(error, exchange)
        }
    }

    func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        let refusal: BackendRefusal?
        do throws(CodecFailure) {
            refusal = try codec.decodeResponse(
                message.pointer.pointee, to: request.pointer.pointee, into: &response.pointer.pointee,
                arena: exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
        if let refusal {
            throw PluginError(ErrorCode(status: refusal.status), Bytes(refusal.text))
        }
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, RestPredict.self)
}
