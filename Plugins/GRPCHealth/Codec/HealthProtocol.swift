import SluiceABI
import SluiceJSON
import SluiceProtobuf

/// `grpc.health.v1.Health` (Protos/grpc/health/v1/health.proto) toward clients: whether the gateway, or a model,
/// serves. The model's own backend is asked, in the protocol of its version. Pure: it sees memory only.
public struct HealthProtocol: GRPCCodec {
    public init() {}

    /// The methods, in the order of their routes.
    public enum Method: Int, GRPCMethod {
        case check, watch

        public var path: StaticString {
            switch self {
            case .check: "/grpc.health.v1.Health/Check"
            case .watch: "/grpc.health.v1.Health/Watch"
            }
        }
    }

    /// grpc.health.v1.HealthCheckResponse.ServingStatus.
    private static let serving: UInt64 = 1
    private static let notServing: UInt64 = 2

    /// The empty service is the gateway, any other one a model: one that is not known is NOT_FOUND, by the host.
    public func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard Method(rawValue: Int(match.route)) == .check else {
            // gRPC's clients know this status for a server that cannot be watched, and stop to ask.
            throw CodecFailure(
                "the gateway does not tell of changes of its health; ask by Check", status: SLUICE_UNIMPLEMENTED)
        }
        guard let message = request.message?.pointee, message.hasBody else { return SLUICE_NEED_BODY }
        var reader = ProtobufReader(message.wholeBody)
        var service = sluice_bytes()
        while let field = try reader.next() {
            if field.number == 1 { service = try field.string("service") }
        }
        request.operation = UInt32(service.isEmpty ? SLUICE_OPERATION_SERVER_READY : SLUICE_OPERATION_MODEL_READY)
        request.model = service
        return SLUICE_OK
    }

    public func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure) {
        // All that a message says was read with the head.
        request.payload = sluice_payload()
    }

    public func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.status = 200
        var out = ProtobufWriter(arena: arena)
        try out.integer(1, response.ready == 0 ? Self.notServing : Self.serving)
        try out.finish(into: &message)
        try MessageFields.append(response.fields, response.field_count, to: &message, arena: arena)
    }

    public func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        throw CodecFailure(
            "no model can be served by the health checking protocol: its version needs the 'protocol' of its endpoints",
            status: SLUICE_UNIMPLEMENTED)
    }

    public func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal? {
        throw CodecFailure("nobody was asked in the health checking protocol", status: SLUICE_INTERNAL)
    }
}
