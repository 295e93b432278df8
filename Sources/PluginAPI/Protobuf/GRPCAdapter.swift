import SluiceABI
import SluiceJSON
import SluicePlugin

/// A protocol of unary gRPC calls: messages to unified requests and responses, and back. Pure: it sees memory only.
/// Messages come and go without gRPC's prefix, which is the host's.
public protocol GRPCCodec {
    /// Paths as routes have them, `/package.Service/Method`.
    var paths: [String] { get }
    /// - Returns: SLUICE_OK, SLUICE_NEED_BODY or SLUICE_DECLINE as `decode` has them at stage HEAD.
    func decodeHead(
        _ match: sluice_match, _ request: inout sluice_request, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32
    func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure)
    func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure)
    /// - Returns: SLUICE_PASS, SLUICE_OK or SLUICE_NEED_BODY as `encode_request` has them.
    func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32
    func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure)
}

/// An adapter whose whole protocol is a codec of gRPC calls.
public protocol GRPCAdapter: ProtocolAdapter, ~Copyable {
    associatedtype Codec: GRPCCodec
    var codec: Codec { get }
}

extension GRPCAdapter where Self: ~Copyable {
    public var routes: [Route] {
        codec.paths.map { Route("POST", $0, transport: .grpc) }
    }

    public mutating func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        do throws(CodecFailure) {
            if stage == .body {
                try codec.decodeBody(&request.pointer.pointee, arena: exchange.arena)
                return .decoded
            }
            let verdict = try codec.decodeHead(
                match.pointer.pointee, &request.pointer.pointee, arena: exchange.arena)
            return DecodeVerdict(rawValue: verdict) ?? .declined
        } catch {
            throw PluginError(error, exchange)
        }
    }

    public mutating func encode(
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

    /// The host says errors of gRPC itself, by status and trailers; there is nothing to put into a body.
    public mutating func encodeError(
        _ error: ErrorAnswer, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        message.pointer.pointee.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        message.pointer.pointee.status = error.pointer.pointee.http_status
    }

    public mutating func encodeRequest(
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

    public mutating func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        do throws(CodecFailure) {
            try codec.decodeResponse(
                message.pointer.pointee, to: request.pointer.pointee, into: &response.pointer.pointee,
                arena: exchange.arena)
        } catch {
            throw PluginError(error, exchange)
        }
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
