import LengthPrefixedCodec
import SluiceABI
import SluiceJSON
import SluicePlugin

/// A protocol of one's own over raw TCP, as an example: messages of tensors, each behind its length. What it speaks
/// stands in `LengthPrefixedProtocol`; this is its face toward the host. It has no configuration.
struct LengthPrefixedTCP: CodecAdapter {
    static let plugin = PluginDescription(
        name: "length-prefixed-tcp", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    let codec = LengthPrefixedProtocol()

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
    }

    var routes: [Route] { [.rawTCP] }

    func frame(_ bytes: Bytes) throws(PluginError) -> Int? {
        do throws(CodecFailure) {
            return try MessageHeader.frame(bytes.raw)
        } catch {
            throw PluginError(ErrorCode(status: error.status), Bytes(error.reason))
        }
    }

    func decodeHead(
        _ request: MutableRequest, match: RouteMatch, exchange: Exchange
    ) throws(CodecFailure) -> DecodeVerdict {
        try codec.decodeHead(&request.pointer.pointee, arena: exchange.arena)
        return .decoded
    }

    mutating func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        try Self.codec(exchange).encodeRequest(request, for: target, into: message, exchange: exchange)
    }

    mutating func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        try Self.codec(exchange).decodeResponse(message, to: request, into: response, exchange: exchange)
    }

    /// The token of the exchange is no other one's, on this worker and on others, and is the same at both calls.
    private static func codec(_ exchange: Exchange) -> LengthPrefixedProtocol {
        LengthPrefixedProtocol(sentID: exchange.suspension.token)
    }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, LengthPrefixedTCP.self)
}
