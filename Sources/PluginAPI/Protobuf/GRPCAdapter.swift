import SluiceABI
import SluiceJSON
import SluicePlugin

/// A protocol of unary gRPC calls. Messages come and go without gRPC's prefix, which is the host's.
public protocol GRPCCodec: MessageCodec {
    associatedtype Method: GRPCMethod
    /// - Returns: SLUICE_OK, SLUICE_NEED_BODY or SLUICE_DECLINE as `decode` has them at stage HEAD.
    func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32
}

extension GRPCCodec {
    /// The host says errors of gRPC itself, by status and trailers; there is nothing to put into a body.
    public func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        message.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.status = error.http_status
    }
}

/// An adapter whose whole protocol is a codec of gRPC calls.
public protocol GRPCAdapter: CodecAdapter, ~Copyable where Codec: GRPCCodec {}

extension GRPCAdapter where Self: ~Copyable {
    public var routes: [Route] { Codec.Method.routes }

    @inlinable
    public func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict {
        let verdict = try codec.decodeHead(match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
        return DecodeVerdict(rawValue: verdict) ?? .declined
    }
}

extension sluice_message {
    /// Whether a body is at hand: at stage HEAD, that the host has read the first message.
    public var hasBody: Bool { body_state == UInt32(SLUICE_BODY_WHOLE) }

    /// Makes this a gRPC call of the method at `path`.
    public mutating func setCall(_ path: StaticString, authority: sluice_bytes) {
        transport = UInt32(SLUICE_TRANSPORT_GRPC)
        method = .literal("POST")
        target = .literal(path)
        self.path = .literal(path)
        self.authority = authority
    }
}

extension sluice_payload {
    /// The message of a call, which the adapter does not look into.
    public init(rawCall message: sluice_message) {
        self.init(raw: message.wholeBody, contentType: .literal("application/grpc+proto"))
    }
}
