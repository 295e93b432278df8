/// A value that wraps a pointer to a C struct of the ABI, as an element of a `List`.
public protocol ListElement {
    associatedtype Raw
    init(_ pointer: UnsafePointer<Raw>)
}

/// A borrowed array of structs of the ABI: fields of a message, tensors of a payload, endpoints of a pool. Lives as long
/// as what it was read from.
@frozen
public struct List<Element: ListElement>: RandomAccessCollection {
    @usableFromInline let start: UnsafePointer<Element.Raw>?
    public let count: Int

    @inlinable @inline(__always)
    public init(_ start: UnsafePointer<Element.Raw>?, count: UInt32) {
        self.start = start
        self.count = start == nil ? 0 : Int(count)
    }

    @inlinable @inline(__always)
    public var startIndex: Int { 0 }
    @inlinable @inline(__always)
    public var endIndex: Int { count }

    @inlinable @inline(__always)
    public subscript(index: Int) -> Element {
        precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of the list")
        return Element(start.unsafelyUnwrapped + index)
    }
}

/// A bounded piece of memory of an exchange's arena that may be written until the exchange ends.
@frozen
public struct MutableView<Element: BitwiseCopyable> {
    @usableFromInline let start: UnsafeMutablePointer<Element>
    public let count: Int

    @inlinable @inline(__always)
    init(start: UnsafeMutablePointer<Element>, count: Int) {
        self.start = start
        self.count = count
    }

    @inlinable @inline(__always)
    public subscript(index: Int) -> Element {
        get {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of the view")
            return start[index]
        }
        nonmutating set {
            precondition(UInt(bitPattern: index) < UInt(bitPattern: count), "index out of the view")
            start[index] = newValue
        }
    }

    /// The memory as bytes, for what takes a borrowed view.
    @inlinable @inline(__always)
    public var bytes: Bytes {
        Bytes(UnsafeRawBufferPointer(start: start, count: count &* MemoryLayout<Element>.stride))
    }

    /// Calls `body` with the memory; the pointer ends with the call.
    @inlinable @inline(__always)
    public func withUnsafeMutableBytes<Result, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(
            UnsafeMutableRawBufferPointer(start: start, count: count &* MemoryLayout<Element>.stride))
    }
}

extension MutableView where Element == UInt8 {
    /// Copies `source` to `offset`, which must fit.
    @inlinable
    public func copy(_ source: Bytes, at offset: Int = 0) {
        precondition(offset >= 0 && source.count <= count - offset, "source does not fit into the view")
        source.withUnsafeBytes { from in
            if let base = from.baseAddress { UnsafeMutableRawPointer(start + offset).copyMemory(from: base, byteCount: from.count) }
        }
    }
}
