import SluiceABI

/// Why a message could not be read or made: a value without storage of its own, thrown with its type so that nothing
/// is allocated, and turned into text only at the border (`write(to:)`).
///
/// `subject` is a view that lives as long as the message; failures never leave the call that meets them.
public struct CodecFailure: Error, @unchecked Sendable {
    /// The canonical error code, below zero (`SLUICE_INVALID_ARGUMENT` and so on).
    public var status: sluice_status
    /// The HTTP status that says it best; 0 leaves that to the host.
    public var httpStatus: UInt32
    /// What is wrong, as a sentence without a full stop.
    public var reason: StaticString
    /// What it is about: the name of a tensor or field, as the message has it. May be empty.
    public var subject: sluice_bytes
    /// Position in the body in bytes from 0; -1 when it says nothing.
    public var offset: Int
    /// What was expected and found; each is -1 when it says nothing.
    public var expected: Int64
    public var found: Int64
    /// Met in a backend's answer, which the text then says first.
    public var isOfBackend = false

    public init(
        _ reason: StaticString, status: sluice_status = sluice_status(SLUICE_INVALID_ARGUMENT), httpStatus: UInt32 = 0,
        subject: sluice_bytes = sluice_bytes(), offset: Int = -1, expected: Int64 = -1, found: Int64 = -1
    ) {
        self.status = status
        self.httpStatus = httpStatus
        self.reason = reason
        self.subject = subject
        self.offset = offset
        self.expected = expected
        self.found = found
    }

    /// The bound on an exchange's memory is reached.
    public static var outOfMemory: CodecFailure {
        CodecFailure(
            "the exchange needs more memory than it may use", status: sluice_status(SLUICE_RESOURCE_EXHAUSTED),
            httpStatus: 413)
    }

    /// The longest text that `write(to:)` makes, in bytes: half of what `sluice_log.fail` keeps, for it may stand
    /// inside another message.
    public static let maximumTextSize = 512

    /// Writes the text of this failure, valid UTF-8, and returns its size.
    ///
    /// - Parameter buffer: at least `maximumTextSize` bytes.
    public func write(to buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        var text = BoundedText(buffer)
        if isOfBackend {
            text.append("the backend's answer cannot be read: ")
        }
        text.append(.literal(reason))
        if subject.size > 0 {
            text.append(" '")
            text.appendQuoted(subject, limit: 128)
            text.append("'")
        }
        if expected >= 0 {
            text.append(": expected ")
            text.append(expected)
        }
        if found >= 0 {
            text.append(expected >= 0 ? ", found " : ": found ")
            text.append(found)
        }
        if offset >= 0 {
            text.append(", at byte ")
            text.append(Int64(offset))
        }
        return text.size
    }
}

/// Text in a buffer of fixed size; what does not fit is left out.
struct BoundedText {
    private let buffer: UnsafeMutableBufferPointer<UInt8>
    private(set) var size = 0

    init(_ buffer: UnsafeMutableBufferPointer<UInt8>) {
        self.buffer = buffer
    }

    mutating func append(_ text: StaticString) {
        append(.literal(text))
    }

    mutating func append(_ bytes: sluice_bytes) {
        for byte in bytes.buffer where size < buffer.count {
            buffer[size] = byte
            size += 1
        }
    }

    /// Outside text: cut, and all that is not printable ASCII shown as `?`, for it may be no UTF-8 and end in a log.
    mutating func appendQuoted(_ bytes: sluice_bytes, limit: Int) {
        for byte in bytes.buffer.prefix(limit) where size < buffer.count {
            buffer[size] = byte >= 0x20 && byte < 0x7F ? byte : UInt8(ascii: "?")
            size += 1
        }
    }

    mutating func append(_ value: Int64) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: DecimalText.maximumIntegerSize) { digits in
            guard let start = digits.baseAddress else { return }
            let count = DecimalText.write(value, to: start)
            append(sluice_bytes(data: start, size: count))
        }
    }
}
