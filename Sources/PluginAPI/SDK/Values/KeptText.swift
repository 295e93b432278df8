import SluiceABI

/// A text that a plugin keeps from `init` on and compares or sends later: a header's name, a tenant. Its bytes are
/// there without a conversion, and only inside `withBytes`, since they end with this object.
public final class KeptText: Sendable {
    @usableFromInline let kept: Bytes

    public init(_ text: String) {
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = memory.initialize(from: text.utf8)
        kept = Bytes(UnsafeRawBufferPointer(memory))
    }

    deinit {
        kept.raw.data?.deallocate()
    }

    @inlinable public var isEmpty: Bool { kept.isEmpty }

    /// Calls `body` with the bytes; they end with the call.
    @inlinable @inline(__always)
    public func withBytes<Result, Failure: Error>(
        _ body: (Bytes) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(self) {} }
        return try body(kept)
    }

    @inlinable
    public static func == (text: KeptText, bytes: Bytes) -> Bool { text.withBytes { $0 == bytes } }

    /// As names of fields compare.
    @inlinable
    public func equalsIgnoringCase(_ bytes: Bytes) -> Bool { withBytes { $0.equalsIgnoringCase(bytes) } }

    @inlinable
    public func equalsIgnoringCase(_ other: KeptText) -> Bool { other.withBytes { equalsIgnoringCase($0) } }
}

extension Exchange {
    /// A copy in the exchange's arena.
    @inlinable
    public func copy(_ source: KeptText) throws(PluginError) -> Bytes {
        try source.withBytes { bytes throws(PluginError) in try copy(bytes) }
    }

    /// The value of the first field of that name in the received request. Lives until the exchange ends.
    @inlinable
    public func header(_ name: KeptText) -> Bytes? { name.withBytes { header($0) } }
}

extension String {
    /// A copy as text.
    public init(_ text: KeptText) {
        self = text.withBytes { String($0) }
    }
}
