import CNGHTTP2
import HTTP1
import SluiceABI

/// Gathers the trailer section of a request over HTTP/2 as lines of HTTP/1.1, under the rules that hold for a chunked
/// body's: what frames, routes or authorises a message is none of it (RFC 9110 §6.5.1).
struct HTTP2RequestTrailers {
    enum Fault {
        case malformed
        /// More, or more fields, than a head may have.
        case tooLarge
        case noMemory
    }

    /// `name: value` with CRLF.
    private(set) var lines = Buffer.none
    /// A field was refused, and the stream is reset: nothing of it may be taken for the end of the request.
    private(set) var isRefused = false
    /// The size of the section as RFC 9113 §6.5.2 counts it.
    private var listSize = 0
    private var count = 0

    /// Pseudo-header fields and those of a connection libnghttp2 has refused before. A fault once, then nothing more.
    mutating func add(
        _ name: sluice_bytes, _ value: sluice_bytes, limits: (bytes: Int, fields: Int), _ pool: inout BufferPool
    ) -> Fault? {
        guard !isRefused else { return nil }
        listSize += name.size + value.size + 32
        count += 1
        if listSize > limits.bytes || count > limits.fields { return refuse(.tooLarge) }
        guard let first = name.data, first[0] != UInt8(ascii: ":"), HTTP2Head.isOneLine(name),
            HTTP2Head.isOneLine(value), !ChunkedDecoder.isForbiddenTrailer(name)
        else { return refuse(.malformed) }
        let needed = name.size + value.size + 4
        if lines.space < needed {
            var larger = pool.take(max(lines.count + needed, lines.capacity * 2))
            guard !larger.isAbsent else { return refuse(.noMemory) }
            if lines.count > 0 { larger.append(lines.head, lines.count) }
            pool.give(lines)
            lines = larger
        }
        lines.append(first, name.size)
        let (separator, end): (StaticString, StaticString) = (": ", "\r\n")
        lines.append(separator.utf8Start, 2)
        if let data = value.data, value.size > 0 { lines.append(data, value.size) }
        lines.append(end.utf8Start, 2)
        return nil
    }

    mutating func refuse(_ fault: Fault) -> Fault {
        isRefused = true
        return fault
    }

    /// The lines, which are the caller's then.
    mutating func take() -> Buffer {
        let taken = lines
        lines = .none
        return taken
    }

    mutating func release(_ pool: inout BufferPool) {
        pool.give(lines)
        lines = .none
    }
}

/// Trailer fields of requests: from a client that speaks HTTP/2, and toward an endpoint that does.
extension Worker {
    /// One field of a trailer section, from within libnghttp2.
    func trailer(_ stream: UnsafeMutablePointer<HTTP2Stream>, _ name: sluice_bytes, _ value: sluice_bytes) {
        let limits = (stream.pointee.client.exchange?.pointee.generation ?? generation).pointee.limits
        var fault = stream.pointee.requestTrailers.add(
            name, value, limits: (limits.headerBytes, limits.headerCount), &buffers)
        if fault == nil, !stream.pointee.requestTrailers.isRefused, isOwnField(name) {
            fault = stream.pointee.requestTrailers.refuse(.malformed)
        }
        guard let fault else { return }
        let code: nghttp2_error_code
        switch fault {
        case .malformed: code = NGHTTP2_PROTOCOL_ERROR
        case .tooLarge: code = NGHTTP2_ENHANCE_YOUR_CALM
        case .noMemory: code = NGHTTP2_INTERNAL_ERROR
        }
        metrics.parseFailed(.client, fault == .tooLarge ? .fieldTooLarge : .field)
        nghttp2_submit_rst_stream(stream.pointee.connection.pointee.session, 0, stream.pointee.id, code.rawValue)
    }

    /// The client's stream has ended: its trailers are what follows the body.
    func takeTrailers(_ exchange: ExchangePointer) {
        guard let client = exchange.pointee.client, client.pointee.isStream,
            client.asStream.pointee.requestTrailers.lines.count > 0
        else { return }
        buffers.give(exchange.pointee.toEndpoint.trailers)
        exchange.pointee.toEndpoint.trailers = client.asStream.pointee.requestTrailers.take()
    }

    /// Trailers of a body that passed as it came go with the end of a call. They stay with the exchange, too: the
    /// endpoint may refuse the call unread. A body that somebody has read whole goes on without.
    func giveTrailers(_ exchange: ExchangePointer, to call: UnsafeMutablePointer<HTTP2Call>) {
        let lines = exchange.pointee.toEndpoint.trailers
        guard lines.count > 0, !call.pointee.requestEnded, carriesTrailers(exchange),
            reserve(lines.count, in: &call.pointee.requestTrailers)
        else { return }
        call.pointee.requestTrailers.append(lines.head, lines.count)
    }

    /// Whether the request's trailers, if there are any, belong behind what is sent to the endpoint.
    func carriesTrailers(_ exchange: ExchangePointer) -> Bool {
        guard exchange.pointee.passes, let message = exchange.pointee.message else { return false }
        return exchange.pointee.lead.size > 0 || message.pointee.body_state != UInt32(SLUICE_BODY_WHOLE)
    }
}
