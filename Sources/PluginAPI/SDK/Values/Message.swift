import SluiceABI

/// A header field, trailer field or metadata entry.
@frozen
public struct Field: ListElement {
    public let name: Bytes
    public let value: Bytes

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_field>) {
        name = Bytes(pointer.pointee.name)
        value = Bytes(pointer.pointee.value)
    }
}

/// What carries a message.
@frozen
public enum Transport: UInt32, Sendable {
    case http = 1
    case grpc = 2
    case tcp = 3
}

/// How much of a message's body is there.
@frozen
public enum BodyState: UInt32, Sendable {
    /// The message has none.
    case none = 0
    /// It has one that is not gathered: `body` is empty.
    case streaming = 1
    /// All of it is in `body`.
    case whole = 2
}

/// A message of a protocol as it was received. Lives until the exchange ends, its body only during the call.
@frozen
public struct Message {
    public let pointer: UnsafePointer<sluice_message>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_message>) { self.pointer = pointer }

    @inlinable public var transport: Transport { Transport(rawValue: pointer.pointee.transport) ?? .http }
    /// HTTP status of a response; 0 in a request.
    @inlinable public var status: UInt32 { pointer.pointee.status }
    /// As received, case kept.
    @inlinable public var method: Bytes { Bytes(pointer.pointee.method) }
    /// Path and query.
    @inlinable public var target: Bytes { Bytes(pointer.pointee.target) }
    /// `target` without the query; percent-encoding kept.
    @inlinable public var path: Bytes { Bytes(pointer.pointee.path) }
    /// Without the `?`; empty when there is none.
    @inlinable public var query: Bytes { Bytes(pointer.pointee.query) }
    /// Host field or authority, as received.
    @inlinable public var authority: Bytes { Bytes(pointer.pointee.authority) }
    /// In the order of the message, repeats kept.
    @inlinable public var fields: List<Field> { List(pointer.pointee.fields, count: pointer.pointee.field_count) }
    @inlinable public var bodyState: BodyState { BodyState(rawValue: pointer.pointee.body_state) ?? .none }
    /// Bytes, as announced or gathered; nil when not known.
    @inlinable public var bodySize: UInt64? {
        pointer.pointee.body_size == UInt64.max ? nil : pointer.pointee.body_size
    }
    /// The whole body. Received messages have at most one piece.
    @inlinable public var body: Bytes {
        guard pointer.pointee.body_count > 0, let pieces = pointer.pointee.body else { return Bytes() }
        return Bytes(pieces[0])
    }

    /// The value of the first field of that name, without regard to case.
    @inlinable
    public func field(_ name: StaticString) -> Bytes? { field(Bytes(name)) }

    @inlinable
    public func field(_ name: Bytes) -> Bytes? {
        guard let fields = pointer.pointee.fields else { return nil }
        var index = 0
        while index < Int(pointer.pointee.field_count) {
            if Bytes(fields[index].name).equalsIgnoringCase(name) { return Bytes(fields[index].value) }
            index &+= 1
        }
        return nil
    }
}

/// A message to be sent, which an adapter fills in. It begins empty; all that it points to must live in the exchange's
/// arena, in static storage or in the received message.
@frozen
public struct MutableMessage {
    public let pointer: UnsafeMutablePointer<sluice_message>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_message>) { self.pointer = pointer }

    /// What has been filled in so far.
    @inlinable public var message: Message { Message(UnsafePointer(pointer)) }

    @inlinable public var transport: Transport {
        get { message.transport }
        nonmutating set { pointer.pointee.transport = newValue.rawValue }
    }
    @inlinable public var status: UInt32 {
        get { pointer.pointee.status }
        nonmutating set { pointer.pointee.status = newValue }
    }
    @inlinable public var method: Bytes {
        get { Bytes(pointer.pointee.method) }
        nonmutating set { pointer.pointee.method = newValue.raw }
    }
    /// Path and query, in origin form.
    @inlinable public var target: Bytes {
        get { Bytes(pointer.pointee.target) }
        nonmutating set { pointer.pointee.target = newValue.raw }
    }
    @inlinable public var authority: Bytes {
        get { Bytes(pointer.pointee.authority) }
        nonmutating set { pointer.pointee.authority = newValue.raw }
    }

    /// Adds a field at the end. Room doubles in the arena.
    @inlinable
    public func add(_ name: Bytes, _ value: Bytes, in exchange: Exchange) throws(PluginError) {
        let field = sluice_field(name: name.raw, value: value.raw)
        try exchange.append(field, to: &pointer.pointee.fields, count: &pointer.pointee.field_count)
    }

    @inlinable
    public func add(_ name: StaticString, _ value: Bytes, in exchange: Exchange) throws(PluginError) {
        try add(Bytes(name), value, in: exchange)
    }

    @inlinable
    public func add(_ name: StaticString, _ value: StaticString, in exchange: Exchange) throws(PluginError) {
        try add(Bytes(name), Bytes(value), in: exchange)
    }

    /// Adds a piece at the end of the body. The host writes the pieces in order, without joining them.
    @inlinable
    public func addBody(_ piece: Bytes, in exchange: Exchange) throws(PluginError) {
        pointer.pointee.body_state = BodyState.whole.rawValue
        if piece.isEmpty { return }
        try exchange.append(piece.raw, to: &pointer.pointee.body, count: &pointer.pointee.body_count)
        pointer.pointee.body_size &+= UInt64(piece.count)
    }
}
