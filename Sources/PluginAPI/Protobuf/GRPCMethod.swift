import SluiceABI
import SluiceJSON
import SluicePlugin

/// The methods of a gRPC service that an adapter has routes for, in their order.
public protocol GRPCMethod: RawRepresentable, CaseIterable, Sendable where RawValue == Int {
    /// As routes have it, `/package.Service/Method`.
    var path: StaticString { get }
}

/// Inlinable, so that nothing on the way of a request is generic.
extension GRPCMethod {
    public static var routes: [Route] {
        allCases.map { Route("POST", "\($0.path)", transport: .grpc) }
    }

    /// The method whose path `path` is, or nil.
    @inlinable
    public init?(path: sluice_bytes) {
        guard let method = Self.allCases.first(where: { path.equals($0.path) }) else { return nil }
        self = method
    }
}

/// Methods whose messages name the model.
public protocol GRPCModelMethod: GRPCMethod {
    /// The message with another model and version in it; all else goes on as it came.
    func rename(
        _ message: sluice_bytes, model: sluice_bytes, version: sluice_bytes, to writer: inout ProtobufWriter
    ) throws(CodecFailure)
}

extension GRPCModelMethod {
    /// Gives `message` what the client sent, with the names of `target` in it. Method, path and fields stay the
    /// client's.
    ///
    /// - Returns: SLUICE_PASS, or SLUICE_NEED_BODY while the client's message was not read.
    @inlinable
    public func encodeRenamed(
        _ received: sluice_message, for target: sluice_target, into message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) -> Int32 {
        guard received.hasBody else { return SLUICE_NEED_BODY }
        var out = ProtobufWriter(arena: arena)
        try rename(received.wholeBody, model: target.model, version: target.version, to: &out)
        try out.finish(into: &message)
        return SLUICE_PASS
    }

    /// Why a stream cannot be renamed.
    public static var streamIsNotRenamed: CodecFailure {
        CodecFailure(
            "each message of a stream names the model, so it cannot go to a backend that calls it otherwise",
            status: SLUICE_UNIMPLEMENTED)
    }
}
