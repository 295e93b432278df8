import SluiceABI

/// Element types of tensors: those of the Open Inference Protocol v2.
@frozen
public enum DataType: UInt32, Sendable {
    /// One byte, 0 or 1.
    case bool = 1
    case uint8, uint16, uint32, uint64, int8, int16, int32, int64
    /// IEEE 754 binary16.
    case fp16
    case fp32, fp64
    /// Each element: uint32 length, then the bytes.
    case bytes
    /// The upper half of a binary32.
    case bf16

    /// Bytes of an element; nil for `bytes`, whose elements differ.
    @inlinable public var size: Int? {
        switch self {
        case .bool, .uint8, .int8: 1
        case .uint16, .int16, .fp16, .bf16: 2
        case .uint32, .int32, .fp32: 4
        case .uint64, .int64, .fp64: 8
        case .bytes: nil
        }
    }
}

/// What a parameter says.
@frozen
public enum ParameterValue {
    case bool(Bool)
    case integer(Int64)
    case number(Double)
    case text(Bytes)
}

/// A named parameter of a request, a tensor or a requested output.
@frozen
public struct Parameter: ListElement {
    public let name: Bytes
    public let value: ParameterValue

    @inlinable
    public init(_ pointer: UnsafePointer<sluice_parameter>) {
        name = Bytes(pointer.pointee.name)
        switch Int32(bitPattern: pointer.pointee.kind) {
        case SLUICE_PARAMETER_BOOL: value = .bool(pointer.pointee.integer != 0)
        case SLUICE_PARAMETER_INT64: value = .integer(pointer.pointee.integer)
        case SLUICE_PARAMETER_DOUBLE: value = .number(pointer.pointee.number)
        default: value = .text(Bytes(pointer.pointee.text))
        }
    }

    @inlinable
    public init(name: Bytes, value: ParameterValue) {
        self.name = name
        self.value = value
    }

    @inlinable
    public var raw: sluice_parameter {
        var raw = sluice_parameter()
        raw.name = name.raw
        switch value {
        case .bool(let flag):
            raw.kind = UInt32(SLUICE_PARAMETER_BOOL)
            raw.integer = flag ? 1 : 0
        case .integer(let integer):
            raw.kind = UInt32(SLUICE_PARAMETER_INT64)
            raw.integer = integer
        case .number(let number):
            raw.kind = UInt32(SLUICE_PARAMETER_DOUBLE)
            raw.number = number
        case .text(let text):
            raw.kind = UInt32(SLUICE_PARAMETER_STRING)
            raw.text = text.raw
        }
        return raw
    }
}

extension List where Element == Parameter {
    /// The value of the parameter of that name.
    @inlinable
    public func value(_ name: StaticString) -> ParameterValue? {
        for parameter in self where parameter.name == name { return parameter.value }
        return nil
    }
}

/// Sizes of a tensor's dimensions, outermost first.
@frozen
public struct Shape: RandomAccessCollection {
    @usableFromInline let start: UnsafePointer<Int64>?
    public let count: Int

    @inlinable @inline(__always)
    public init(_ start: UnsafePointer<Int64>?, rank: UInt32) {
        self.start = start
        count = start == nil ? 0 : Int(rank)
    }

    @inlinable public var startIndex: Int { 0 }
    @inlinable public var endIndex: Int { count }
    @inlinable
    public subscript(index: Int) -> Int64 {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "dimension out of the shape")
        return start.unsafelyUnwrapped[index]
    }

    /// The product of the dimensions: 1 for rank 0; nil when one is negative or the product overflows.
    @inlinable public var elementCount: Int? {
        var product = 1
        for dimension in self {
            guard dimension >= 0 else { return nil }
            let (next, overflow) = product.multipliedReportingOverflow(by: Int(dimension))
            if overflow { return nil }
            product = next
        }
        return product
    }
}

/// A tensor: `data` holds its elements in row-major order, little endian, without padding.
@frozen
public struct Tensor: ListElement {
    public let pointer: UnsafePointer<sluice_tensor>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_tensor>) { self.pointer = pointer }

    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    @inlinable public var dataType: DataType? { DataType(rawValue: pointer.pointee.datatype) }
    @inlinable public var shape: Shape { Shape(pointer.pointee.shape, rank: pointer.pointee.rank) }
    @inlinable public var data: Bytes { Bytes(pointer.pointee.data) }
    /// Name of the shared-memory region that holds the bytes instead; empty: `data` does.
    @inlinable public var region: Bytes { Bytes(pointer.pointee.region) }
    @inlinable public var regionOffset: UInt64 { pointer.pointee.region_offset }
    @inlinable public var regionSize: UInt64 { pointer.pointee.region_size }
    @inlinable public var parameters: List<Parameter> {
        List(pointer.pointee.parameters, count: pointer.pointee.parameter_count)
    }

    /// Element `index` of `data` as `type`, whose size must be that of the tensor's type; nil outside of the data.
    @inlinable
    public func element<Value: BitwiseCopyable>(_ index: Int, as type: Value.Type = Value.self) -> Value? {
        let size = MemoryLayout<Value>.size
        let (offset, overflow) = index.multipliedReportingOverflow(by: size)
        guard !overflow, offset >= 0, offset <= data.count - size else { return nil }
        return data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: Value.self) }
    }
}

/// A tensor that is being made in an exchange's arena.
@frozen
public struct MutableTensor {
    public let pointer: UnsafeMutablePointer<sluice_tensor>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_tensor>) { self.pointer = pointer }

    @inlinable public var tensor: Tensor { Tensor(UnsafePointer(pointer)) }
    @inlinable public var name: Bytes {
        get { Bytes(pointer.pointee.name) }
        nonmutating set { pointer.pointee.name = newValue.raw }
    }
    @inlinable public var dataType: DataType? {
        get { tensor.dataType }
        nonmutating set { pointer.pointee.datatype = newValue?.rawValue ?? 0 }
    }
    @inlinable public var shape: Shape { tensor.shape }
    /// The elements; must live until the exchange ends.
    @inlinable public var data: Bytes {
        get { tensor.data }
        nonmutating set { pointer.pointee.data = newValue.raw }
    }

    @inlinable
    public func setRegion(_ name: Bytes, offset: UInt64, size: UInt64) {
        pointer.pointee.region = name.raw
        pointer.pointee.region_offset = offset
        pointer.pointee.region_size = size
    }

    /// Gives the tensor dimensions that lie in the arena.
    @inlinable
    public func setShape(_ dimensions: MutableView<Int64>) {
        pointer.pointee.shape = UnsafePointer(dimensions.start)
        pointer.pointee.rank = UInt32(truncatingIfNeeded: dimensions.count)
    }

    /// Shares the dimensions of another tensor of the same exchange.
    @inlinable
    public func setShape(_ shape: Shape) {
        pointer.pointee.shape = shape.start
        pointer.pointee.rank = UInt32(truncatingIfNeeded: shape.count)
    }

    /// Adds a dimension inside of those there are.
    @inlinable
    public func addDimension(_ size: Int64, in exchange: Exchange) throws(PluginError) {
        try exchange.append(size, to: &pointer.pointee.shape, count: &pointer.pointee.rank)
    }

    @inlinable
    public func add(_ parameter: Parameter, in exchange: Exchange) throws(PluginError) {
        try exchange.append(
            parameter.raw, to: &pointer.pointee.parameters, count: &pointer.pointee.parameter_count)
    }

    /// Elements for the whole shape, not zeroed, as the tensor's data.
    @inlinable
    public func allocateElements<Value: BitwiseCopyable>(
        of type: Value.Type, in exchange: Exchange
    ) throws(PluginError) -> MutableView<Value> {
        guard let count = shape.elementCount else {
            throw PluginError(.invalidArgument, "a tensor's shape is negative or too large")
        }
        let elements = try exchange.allocate(Value.self, count: count)
        data = elements.bytes
        return elements
    }
}

/// An output that the client asks for by name.
@frozen
public struct RequestedOutput: ListElement {
    public let pointer: UnsafePointer<sluice_output>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_output>) { self.pointer = pointer }

    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    /// As raw bytes where the protocol has two encodings.
    @inlinable public var isBinary: Bool { pointer.pointee.flags & UInt32(SLUICE_OUTPUT_BINARY) != 0 }
    @inlinable public var parameters: List<Parameter> {
        List(pointer.pointee.parameters, count: pointer.pointee.parameter_count)
    }
}

/// What kind of payload a request or response has.
@frozen
public enum PayloadKind: UInt32, Sendable {
    case none = 0
    /// The body, unread: it streams through.
    case stream = 1
    /// Bytes with a content type.
    case raw = 2
    case tensors = 3
}

/// The payload of a request or response.
@frozen
public struct Payload {
    public let pointer: UnsafePointer<sluice_payload>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_payload>) { self.pointer = pointer }

    @inlinable public var kind: PayloadKind { PayloadKind(rawValue: pointer.pointee.kind) ?? .none }
    /// Of raw bytes.
    @inlinable public var contentType: Bytes { Bytes(pointer.pointee.content_type) }
    @inlinable public var raw: Bytes { Bytes(pointer.pointee.raw) }
    @inlinable public var tensors: List<Tensor> { List(pointer.pointee.tensors, count: pointer.pointee.tensor_count) }
    /// Of requests; empty asks for all.
    @inlinable public var outputs: List<RequestedOutput> {
        List(pointer.pointee.outputs, count: pointer.pointee.output_count)
    }
    @inlinable public var parameters: List<Parameter> {
        List(pointer.pointee.parameters, count: pointer.pointee.parameter_count)
    }
    /// Outputs as raw bytes unless an output says otherwise.
    @inlinable public var prefersBinary: Bool {
        pointer.pointee.flags & UInt32(SLUICE_PAYLOAD_FLAG_BINARY) != 0
    }
    /// The client named its inputs (column format); answers may do the same.
    @inlinable public var inColumns: Bool { pointer.pointee.flags & UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS) != 0 }
}

/// A payload that is being made. Room for elements grows in the exchange's arena.
@frozen
public struct MutablePayload {
    public let pointer: UnsafeMutablePointer<sluice_payload>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafeMutablePointer<sluice_payload>) { self.pointer = pointer }

    @inlinable public var payload: Payload { Payload(UnsafePointer(pointer)) }
    @inlinable public var kind: PayloadKind {
        get { payload.kind }
        nonmutating set { pointer.pointee.kind = newValue.rawValue }
    }
    @inlinable public var prefersBinary: Bool {
        get { payload.prefersBinary }
        nonmutating set { setFlag(UInt32(SLUICE_PAYLOAD_FLAG_BINARY), newValue) }
    }
    @inlinable public var inColumns: Bool {
        get { payload.inColumns }
        nonmutating set { setFlag(UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS), newValue) }
    }

    @inlinable
    func setFlag(_ flag: UInt32, _ on: Bool) {
        pointer.pointee.flags = on ? pointer.pointee.flags | flag : pointer.pointee.flags & ~flag
    }

    /// Makes the payload these bytes.
    @inlinable
    public func setRaw(_ bytes: Bytes, contentType: Bytes) {
        kind = .raw
        pointer.pointee.raw = bytes.raw
        pointer.pointee.content_type = contentType.raw
    }

    /// Makes the payload `count` empty tensors, to be filled in by index.
    @inlinable
    public func setTensors(_ count: Int, in exchange: Exchange) throws(PluginError) -> MutableTensors {
        let tensors = try exchange.allocateZeroed(sluice_tensor.self, count: count)
        kind = .tensors
        pointer.pointee.tensors = UnsafePointer(tensors.start)
        pointer.pointee.tensor_count = UInt32(truncatingIfNeeded: count)
        return MutableTensors(start: tensors.start, count: count)
    }

    /// Adds a tensor. The one returned is valid until the next is added.
    @inlinable
    public func addTensor(in exchange: Exchange) throws(PluginError) -> MutableTensor {
        kind = .tensors
        return MutableTensor(
            try exchange.append(sluice_tensor(), to: &pointer.pointee.tensors, count: &pointer.pointee.tensor_count))
    }

    @inlinable
    public func addOutput(_ name: Bytes, isBinary: Bool, in exchange: Exchange) throws(PluginError) {
        var output = sluice_output()
        output.name = name.raw
        output.flags = isBinary ? UInt32(SLUICE_OUTPUT_BINARY) : 0
        try exchange.append(output, to: &pointer.pointee.outputs, count: &pointer.pointee.output_count)
    }

    @inlinable
    public func add(_ parameter: Parameter, in exchange: Exchange) throws(PluginError) {
        try exchange.append(
            parameter.raw, to: &pointer.pointee.parameters, count: &pointer.pointee.parameter_count)
    }
}

/// The tensors of a payload that is being made.
@frozen
public struct MutableTensors {
    @usableFromInline let start: UnsafeMutablePointer<sluice_tensor>
    public let count: Int

    @inlinable
    init(start: UnsafeMutablePointer<sluice_tensor>, count: Int) {
        self.start = start
        self.count = count
    }

    @inlinable
    public subscript(index: Int) -> MutableTensor {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of the tensors")
        return MutableTensor(start + index)
    }
}
