import SluiceABI
import SluicePlugin

/// What a protocol makes of messages: messages to unified requests and responses, and back. Pure: it sees memory only.
public protocol MessageCodec {
    func decodeBody(_ request: inout sluice_request, arena: ExchangeArena) throws(CodecFailure)
    func encode(
        _ response: sluice_response, to request: sluice_request, into message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure)
    func encodeError(
        _ error: sluice_error, to request: sluice_request, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure)
    /// - Returns: SLUICE_PASS, SLUICE_OK or SLUICE_NEED_BODY as `encode_request` has them.
    func encodeRequest(
        _ request: sluice_request, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32
    /// - Returns: what the backend said when it refused; nil when it answered.
    func decodeResponse(
        _ message: sluice_message, to request: sluice_request, into response: inout sluice_response,
        arena: ExchangeArena
    ) throws(CodecFailure) -> BackendRefusal?
}

/// The SDK's calls in terms of a codec's, for an adapter that has one for each exchange, too.
extension MessageCodec {
    @inlinable
    public func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        do throws(CodecFailure) {
            let verdict = try encodeRequest(
                request.pointer.pointee, for: target.pointer.pointee, into: &message.pointer.pointee,
                arena: exchange.arena)
            return EncodeVerdict(rawValue: verdict) ?? .encoded
        } catch {
            throw PluginError(error, exchange)
        }
    }

    @inlinable
    public func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        let refusal: BackendRefusal?
        do throws(CodecFailure) {
            refusal = try decodeResponse(
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

/// An adapter whose protocol stands in a codec. What is left to it are its routes and what a head says.
public protocol CodecAdapter: ProtocolAdapter, ~Copyable {
    associatedtype Codec: MessageCodec
    var codec: Codec { get }
    /// `decode` at stage HEAD.
    func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict
}

/// Inlinable, so that a plugin's calls of its codec are direct ones.
extension CodecAdapter where Self: ~Copyable {
    @inlinable
    public mutating func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        do throws(CodecFailure) {
            guard stage == .body else { return try decodeHead(request, match: match, exchange: exchange) }
            try codec.decodeBody(&request.pointer.pointee, arena: exchange.arena)
            return .decoded
        } catch {
            throw PluginError(error, exchange)
        }
    }

    @inlinable
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

    @inlinable
    public mutating func encodeError(
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

    @inlinable
    public mutating func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        try codec.encodeRequest(request, for: target, into: message, exchange: exchange)
    }

    @inlinable
    public mutating func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        try codec.decodeResponse(message, to: request, into: response, exchange: exchange)
    }
}
