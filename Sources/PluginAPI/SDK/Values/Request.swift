import SluiceABI

/// What a request asks for.
@frozen
public enum Operation: UInt32, Sendable {
    /// A path of a model that the adapter passes on without knowing it.
    case other = 0
    case infer = 1
    case modelMetadata = 2
    case modelReady = 3
    /// Answered by the host, as are the three that follow.
    case serverLive = 4
    case serverReady = 5
    case serverMetadata = 6
    case modelList = 7
    case chat = 8
    case completion = 9
    case embed = 10
    /// A switch to WebSocket, which the adapter allows.
    case upgrade = 11
}

/// A request in the gateway's own terms. What it points to lives until the exchange ends.
@frozen
public struct Request {
    public let pointer: UnsafePointer<sluice_request>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_request>) { self.pointer = pointer }

    /// As received from the client; never changed.
    @inlinable public var message: Message { Message(pointer.pointee.message) }
    /// As asked for.
    @inlinable public var model: Bytes { Bytes(pointer.pointee.model) }
    /// As asked for: a version or a label; empty when none.
    @inlinable public var version: Bytes { Bytes(pointer.pointee.version) }
    /// Echoed by protocols that have one; empty when none.
    @inlinable public var id: Bytes { Bytes(pointer.pointee.id) }
    /// Who asks; a filter that authenticates sets it.
    @inlinable public var tenant: Bytes { Bytes(pointer.pointee.tenant) }
    /// What sticky decisions hash; empty when none.
    @inlinable public var session: Bytes { Bytes(pointer.pointee.session) }
    @inlinable public var operation: Operation { Operation(rawValue: pointer.pointee.operation) ?? .other }
    /// Index into the gateway's models; nil when unknown.
    @inlinable public var modelID: UInt32? { ModelID.optional(pointer.pointee.model_id) }
    /// 0 (highest) to 9.
    @inlinable public var priority: UInt32 { pointer.pointee.priority }
    /// 1 for the first attempt on an endpoint.
    @inlinable public var attempt: UInt32 { pointer.pointee.attempt }
    /// Nanoseconds of the monotonic clock; `UInt64.max`: none.
    @inlinable public var deadline: UInt64 { pointer.pointee.deadline_ns }
    /// Nanoseconds of the monotonic clock, when the head was complete.
    @inlinable public var received: UInt64 { pointer.pointee.received_ns }
    /// Of `other`: what follows the model in the path, with the query, as the route captured it.
    @inlinable public var rest: Bytes { Bytes(pointer.pointee.rest) }
    @inlinable public var payload: Payload {
        Payload(UnsafeRawPointer(pointer).advanced(by: Self.payloadOffset).assumingMemoryBound(to: sluice_payload.self))
    }
    /// What the decoding adapter left for itself with `MutableRequest.setAdapterData`, when it is of that size. Only
    /// the adapter that decoded the request may ask.
    @inlinable
    public func adapterData<Value: BitwiseCopyable>(as type: Value.Type) -> Value? {
        pointer.pointee.adapter_data?.loadUnaligned(as: Value.self)
    }

    @inlinable @inline(__always)
    static var payloadOffset: Int { MemoryLayout<sluice_request>.offset(of: \.payload).unsafelyUnwrapped }
}

/// Ids of models and indices of versions, `SLUICE_NONE` where there is none.
@usableFromInline
enum ModelID {
    @inlinable @inline(__always)
    static func optional(_ value: UInt32) -> UInt32? { value == UInt32.max ? nil : value }
}

/// A request that may be changed: by the adapter that decodes it and by filters. All that is set must live in the
/// exchange's arena, in static storage or in the received message.
@frozen
public struct MutableRequest {
    public let pointer: UnsafeMutablePointer<sluice_request>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_request>) { self.pointer = pointer }

    @inlinable public var request: Request { Request(UnsafePointer(pointer)) }
    @inlinable public var message: Message { Message(pointer.pointee.message) }

    /// For an adapter to set. What a filter sets has no effect, nor in `version`: routers choose another model.
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
    @inlinable public var tenant: Bytes {
        get { Bytes(pointer.pointee.tenant) }
        nonmutating set { pointer.pointee.tenant = newValue.raw }
    }
    @inlinable public var session: Bytes {
        get { Bytes(pointer.pointee.session) }
        nonmutating set { pointer.pointee.session = newValue.raw }
    }
    @inlinable public var operation: Operation {
        get { request.operation }
        nonmutating set { pointer.pointee.operation = newValue.rawValue }
    }
    @inlinable public var modelID: UInt32? { request.modelID }
    /// 0 (highest) to 9; greater values are cut.
    @inlinable public var priority: UInt32 {
        get { pointer.pointee.priority }
        nonmutating set { pointer.pointee.priority = min(newValue, 9) }
    }
    /// Nanoseconds of the monotonic clock; `UInt64.max`: none. A filter may bring it forward, and not put it off.
    @inlinable public var deadline: UInt64 {
        get { pointer.pointee.deadline_ns }
        nonmutating set { pointer.pointee.deadline_ns = newValue }
    }
    @inlinable public var rest: Bytes {
        get { Bytes(pointer.pointee.rest) }
        nonmutating set { pointer.pointee.rest = newValue.raw }
    }
    @inlinable public var payload: MutablePayload {
        MutablePayload(
            UnsafeMutableRawPointer(pointer).advanced(by: Request.payloadOffset)
                .assumingMemoryBound(to: sluice_payload.self))
    }

    /// Keeps a value of the decoding adapter with the request, for its own later calls.
    @inlinable
    public func setAdapterData<Value: BitwiseCopyable>(_ value: Value, in exchange: Exchange) throws(PluginError) {
        let place = try exchange.allocate(Value.self, count: 1)
        place[0] = value
        pointer.pointee.adapter_data = UnsafeMutableRawPointer(place.start)
    }
}
