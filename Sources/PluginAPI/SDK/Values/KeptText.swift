import SluiceABI

/// A text that a plugin keeps from `init` on and compares or sends later: a header's name, a path. Its bytes are there
/// without a conversion, for as long as this object.
public final class KeptText: Sendable {
    /// Ends with this object: what an exchange is to point to must be copied into its arena.
    public let bytes: Bytes

    public init(_ text: String) {
        let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = memory.initialize(from: text.utf8)
        bytes = Bytes(UnsafeRawBufferPointer(memory))
    }

    deinit {
        bytes.raw.data?.deallocate()
    }
}
