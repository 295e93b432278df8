import SluiceABI

/// A description of a tensor that a model takes or gives.
@frozen
public struct TensorSpecification: ListElement {
    public let pointer: UnsafePointer<sluice_tensor_spec>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_tensor_spec>) { self.pointer = pointer }

    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    @inlinable public var dataType: DataType? { DataType(rawValue: pointer.pointee.datatype) }
    /// -1 is any size.
    @inlinable public var shape: Shape { Shape(pointer.pointee.shape, rank: pointer.pointee.rank) }
}

/// A text among several, as an element of a `List`.
@frozen
public struct Text: ListElement {
    public let bytes: Bytes

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_bytes>) { bytes = Bytes(pointer.pointee) }
}

/// What a server or a model says of itself.
@frozen
public struct Metadata {
    public let pointer: UnsafePointer<sluice_metadata>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_metadata>) { self.pointer = pointer }

    /// Of the server or of the model.
    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    /// Of the server.
    @inlinable public var version: Bytes { Bytes(pointer.pointee.version) }
    /// Of the model; extensions of the server; names of a model list.
    @inlinable public var versions: List<Text> { List(pointer.pointee.versions, count: pointer.pointee.version_count) }
    @inlinable public var platform: Bytes { Bytes(pointer.pointee.platform) }
    @inlinable public var inputs: List<TensorSpecification> {
        List(pointer.pointee.inputs, count: pointer.pointee.input_count)
    }
    @inlinable public var outputs: List<TensorSpecification> {
        List(pointer.pointee.outputs, count: pointer.pointee.output_count)
    }
}

/// Metadata that an adapter decodes from a backend's answer, made in the exchange's arena.
@frozen
public struct MutableMetadata {
    public let pointer: UnsafeMutablePointer<sluice_metadata>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_metadata>) { self.pointer = pointer }

    @inlinable public var metadata: Metadata { Metadata(UnsafePointer(pointer)) }
    @inlinable public var name: Bytes {
        get { Bytes(pointer.pointee.name) }
        nonmutating set { pointer.pointee.name = newValue.raw }
    }
    @inlinable public var version: Bytes {
        get { Bytes(pointer.pointee.version) }
        nonmutating set { pointer.pointee.version = newValue.raw }
    }
    @inlinable public var platform: Bytes {
        get { Bytes(pointer.pointee.platform) }
        nonmutating set { pointer.pointee.platform = newValue.raw }
    }

    @inlinable
    public func addVersion(_ name: Bytes, in exchange: Exchange) throws(PluginError) {
        try exchange.append(name.raw, to: &pointer.pointee.versions, count: &pointer.pointee.version_count)
    }

    @inlinable
    public func addInput(
        _ name: Bytes, _ dataType: DataType, shape: MutableView<Int64>, in exchange: Exchange
    ) throws(PluginError) {
        try exchange.append(
            Self.specification(name, dataType, shape), to: &pointer.pointee.inputs, count: &pointer.pointee.input_count)
    }

    @inlinable
    public func addOutput(
        _ name: Bytes, _ dataType: DataType, shape: MutableView<Int64>, in exchange: Exchange
    ) throws(PluginError) {
        try exchange.append(
            Self.specification(name, dataType, shape), to: &pointer.pointee.outputs, count: &pointer.pointee.output_count)
    }

    @inlinable
    static func specification(_ name: Bytes, _ dataType: DataType, _ shape: MutableView<Int64>) -> sluice_tensor_spec {
        var specification = sluice_tensor_spec()
        specification.name = name.raw
        specification.datatype = dataType.rawValue
        specification.rank = UInt32(truncatingIfNeeded: shape.count)
        specification.shape = UnsafePointer(shape.start)
        return specification
    }
}

/// A response in the gateway's own terms.
@frozen
public struct Response {
    public let pointer: UnsafePointer<sluice_response>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_response>) { self.pointer = pointer }

    /// As received from the endpoint; nil when it was made in the gateway.
    @inlinable public var message: Message? { pointer.pointee.message.map(Message.init) }
    /// What it answers.
    @inlinable public var operation: Operation { Operation(rawValue: pointer.pointee.operation) ?? .other }
    /// 0: as the adapter thinks fit.
    @inlinable public var httpStatus: UInt32 { pointer.pointee.http_status }
    /// That answered.
    @inlinable public var model: Bytes { Bytes(pointer.pointee.model) }
    @inlinable public var version: Bytes { Bytes(pointer.pointee.version) }
    @inlinable public var id: Bytes { Bytes(pointer.pointee.id) }
    /// Extra fields for the client.
    @inlinable public var fields: List<Field> { List(pointer.pointee.fields, count: pointer.pointee.field_count) }
    /// Of the live and ready operations.
    @inlinable public var isReady: Bool { pointer.pointee.ready != 0 }
    @inlinable public var payload: Payload {
        Payload(UnsafeRawPointer(pointer).advanced(by: Self.payloadOffset).assumingMemoryBound(to: sluice_payload.self))
    }
    /// Of the metadata operations and the model list.
    @inlinable public var metadata: Metadata? { pointer.pointee.metadata.map(Metadata.init) }

    @inlinable @inline(__always)
    static var payloadOffset: Int { MemoryLayout<sluice_response>.offset(of: \.payload).unsafelyUnwrapped }
}

/// A response that is being made or changed. All that is set must live in the exchange's arena, in static storage or in
/// the received message.
@frozen
public struct MutableResponse {
    public let pointer: UnsafeMutablePointer<sluice_response>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_response>) { self.pointer = pointer }

    @inlinable public var response: Response { Response(UnsafePointer(pointer)) }
    @inlinable public var operation: Operation {
        get { response.operation }
        nonmutating set { pointer.pointee.operation = newValue.rawValue }
    }
    /// 0: as the adapter thinks fit.
    @inlinable public var httpStatus: UInt32 {
        get { pointer.pointee.http_status }
        nonmutating set { pointer.pointee.http_status = newValue }
    }
    @inlinable public var model: Bytes {
        get { Bytes(pointer.pointee.model) }
        nonmutating set { pointer.pointee.model = newValue.raw }
    }
    @inlinable public var version: Bytes {
        get { Bytes(pointer.pointee.version) }
        nonmutating set { pointer.pointee.version = newValue.raw }
    }
    @inlinable public var id: Bytes {
        get { Bytes(pointer.pointee.id) }
        nonmutating set { pointer.pointee.id = newValue.raw }
    }
    @inlinable public var isReady: Bool {
        get { pointer.pointee.ready != 0 }
        nonmutating set { pointer.pointee.ready = newValue ? 1 : 0 }
    }
    @inlinable public var payload: MutablePayload {
        MutablePayload(
            UnsafeMutableRawPointer(pointer).advanced(by: Response.payloadOffset)
                .assumingMemoryBound(to: sluice_payload.self))
    }

    /// Adds an extra field for the client. Edits what the plugin itself made: a response that came in with fields keeps
    /// them.
    @inlinable
    public func add(_ name: Bytes, _ value: Bytes, in exchange: Exchange) throws(PluginError) {
        let old = UnsafeBufferPointer(start: pointer.pointee.fields, count: Int(pointer.pointee.field_count))
        let fields = try exchange.allocate(sluice_field.self, count: old.count + 1)
        for index in 0..<old.count { fields[index] = old[index] }
        fields[old.count] = sluice_field(name: name.raw, value: value.raw)
        pointer.pointee.fields = UnsafePointer(fields.start)
        pointer.pointee.field_count = UInt32(truncatingIfNeeded: fields.count)
    }

    /// Gives the response empty metadata to fill in.
    @inlinable
    public func makeMetadata(in exchange: Exchange) throws(PluginError) -> MutableMetadata {
        let place = try exchange.allocateZeroed(sluice_metadata.self, count: 1)
        pointer.pointee.metadata = UnsafePointer(place.start)
        return MutableMetadata(place.start)
    }
}

/// An error on its way to a client, to which an adapter gives the shape of its protocol.
@frozen
public struct ErrorAnswer {
    public let pointer: UnsafePointer<sluice_error>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_error>) { self.pointer = pointer }

    @inlinable public var code: ErrorCode { ErrorCode(status: pointer.pointee.status) }
    /// What the host thinks fit: 400 to 599.
    @inlinable public var httpStatus: UInt32 { pointer.pointee.http_status }
    /// For the client; holds no secret.
    @inlinable public var message: Bytes { Bytes(pointer.pointee.message) }
    /// Seconds; 0: not said. The host adds the field.
    @inlinable public var retryAfter: UInt32 { pointer.pointee.retry_after_s }
}
