import SluiceABI

/// The head of an endpoint's final answer, as received: where a backend says how loaded it is. Valid during the call
/// that passes it.
@frozen
public struct AnswerHead {
    public let pointer: UnsafePointer<sluice_answer_head>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_answer_head>) { self.pointer = pointer }

    /// Index into the endpoints that were told last; one that has left since is not told of.
    @inlinable public var endpoint: Int { Int(pointer.pointee.endpoint) }
    @inlinable public var httpStatus: UInt32 { pointer.pointee.http_status }
    @inlinable public var attempt: UInt32 { pointer.pointee.attempt }
    /// In the order of the message, repeats kept; of a call of gRPC, those before its messages.
    @inlinable public var fields: List<Field> { List(pointer.pointee.fields, count: pointer.pointee.field_count) }
    /// Nanoseconds from the attempt's begin, or from the request's last byte where that came later.
    @inlinable public var firstByte: UInt64 { pointer.pointee.first_byte_ns }

    /// The value of the first field of that name, without regard to case.
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

    @inlinable
    public func field(_ name: StaticString) -> Bytes? { field(Bytes(name)) }
}
