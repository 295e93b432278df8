import OpenInferenceCodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// The Open Inference Protocol (KServe v2, Triton) over HTTP. What it speaks stands in `OpenInferenceProtocol`; this is
/// its face toward the host.
///
/// Configuration: `binary: true` sends tensors to backends as binary data where a request is encoded anew. False unless
/// said, for MLServer reads JSON only.
struct OpenInference: ProtocolAdapter {
    static let plugin = PluginDescription(
        name: "open-inference", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let codec: OpenInferenceProtocol

    init(_ context: Context) throws(PluginError) {
        try context.config.allow(["binary"])
        let binary = context.config["binary"]
        codec = OpenInferenceProtocol(isBinary: binary.isNull ? false : try binary.boolean())
    }

    var routes: [Route] {
        OpenInferenceProtocol.Route.allCases.map { Route("\($0.method)", "\($0.path)") }
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
    export(host, OpenInference.self)
}
