import Glibc
import SluiceABI

/// A request as rules see it: borrowed, for one evaluation. Everything that it points to lives as long as the exchange.
public struct RequestView {
    /// Memory of the exchange, as `sluice_memory.arena_alloc`.
    public typealias Allocate =
        @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, Int) -> UnsafeMutableRawPointer?

    let request: UnsafePointer<sluice_request>
    private let context: UnsafeMutableRawPointer?
    private let exchange: OpaquePointer?
    private let allocate: Allocate

    @inline(__always)
    public init(
        _ request: UnsafePointer<sluice_request>, context: UnsafeMutableRawPointer?, exchange: OpaquePointer?,
        allocate: Allocate
    ) {
        self.request = request
        self.context = context
        self.exchange = exchange
        self.allocate = allocate
    }

    /// Room for a text that has to be made; nil when the exchange's bound is reached.
    func room(_ size: Int) -> UnsafeMutablePointer<UInt8>? {
        allocate(context, exchange, max(size, 1))?.assumingMemoryBound(to: UInt8.self)
    }

    private var message: UnsafePointer<sluice_message> {
        @inline(__always) get { request.pointee.message.unsafelyUnwrapped }
    }

    // MARK: The head

    var method: Value { .text(message.pointee.method) }
    var path: Value { .text(message.pointee.path) }
    var tenant: Value { .optionalText(request.pointee.tenant) }
    var model: Value { .optionalText(request.pointee.model) }
    var version: Value { .optionalText(request.pointee.version) }
    var priority: Value { .integer(Int64(request.pointee.priority)) }

    /// The first field of that name, which is in lower case.
    @inline(__always)
    func header(_ name: Value) -> Value {
        guard let wanted = name.start else { return .absent }
        var field = message.pointee.fields
        var left = message.pointee.field_count
        while left > 0, let found = field {
            if found.pointee.name.size == name.size, let start = found.pointee.name.data,
                equalCaseless(wanted, start, name.size)
            {
                return .text(found.pointee.value)
            }
            field = found + 1
            left &-= 1
        }
        return .absent
    }

    /// The media type of the content, without its parameters.
    func contentType(_ name: Value) -> Value {
        var value = header(name)
        guard value.kind == .text, let start = value.start else { return .absent }
        var size = 0
        while size < value.size, start[size] != UInt8(ascii: ";") { size &+= 1 }
        while size > 0, start[size &- 1] == 0x20 || start[size &- 1] == 0x09 { size &-= 1 }
        value.size = size
        return size == 0 ? .absent : value
    }

    /// The first parameter of that name in the query, decoded as forms are (WHATWG URL, section 5.1): `+` is a space,
    /// `%HH` a byte. One without `=` is empty.
    func query(_ name: Value) -> Value {
        let query = message.pointee.query
        guard let start = query.data, let wanted = name.start else { return .absent }
        var at = 0
        while at < query.size {
            let end = place(of: UInt8(ascii: "&"), in: start, at..<query.size) ?? query.size
            let divider = place(of: UInt8(ascii: "="), in: start, at..<end) ?? end
            var key = FormText(start + at, divider &- at)
            if end > at, key.equals(wanted, name.size) {
                let value = min(divider &+ 1, end)
                return decoded(FormText(start + value, end &- value))
            }
            at = end &+ 1
        }
        return .absent
    }

    private func decoded(_ text: FormText) -> Value {
        guard text.isEscaped else { return .text(text.start, text.size) }
        guard let room = room(text.size) else { return Value(.noMemory) }
        var text = text
        var size = 0
        while let byte = text.next() {
            room[size] = byte
            size &+= 1
        }
        return .text(room, size)
    }

    // MARK: The body

    /// What of the body is not there yet. A call of gRPC that is passed on may be a stream, whose messages answer each
    /// other: a rule does not wait for its end.
    private var unread: Value {
        let isCall = message.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
        return isCall && request.pointee.operation == UInt32(SLUICE_OPERATION_OTHER) ? .absent : Value(.needsBody)
    }

    /// Bytes as announced or gathered.
    var bodySize: Value {
        let size = message.pointee.body_size
        if size == .max {
            return message.pointee.body_state == UInt32(SLUICE_BODY_STREAMING) ? unread : .absent
        }
        return message.pointee.body_state == UInt32(SLUICE_BODY_NONE) ? .integer(0) : .unsigned(size)
    }

    /// The bytes of the content: those of a raw payload, which a filter may have changed, else those that came.
    var body: Value {
        if request.pointee.payload.kind == UInt32(SLUICE_PAYLOAD_RAW) { return .text(request.pointee.payload.raw) }
        switch Int32(message.pointee.body_state) {
        case SLUICE_BODY_WHOLE:
            guard message.pointee.body_count > 0, let pieces = message.pointee.body else { return .text(nil, 0) }
            return .text(pieces[0])
        case SLUICE_BODY_STREAMING: return unread
        default: return .absent
        }
    }

    /// The tensor that a text names or that has an index; nil when there is none, which `missing` explains.
    @inline(__always)
    func tensor(_ name: Value, missing: inout Value) -> UnsafePointer<sluice_tensor>? {
        missing = .absent
        let payload = request.pointee.payload
        guard payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS), let tensors = payload.tensors else {
            if payload.kind == UInt32(SLUICE_PAYLOAD_STREAM) { missing = unread }
            return nil
        }
        if name.kind == .integer {
            return name.bits < UInt64(payload.tensor_count) ? tensors + Int(name.integer) : nil
        }
        var index = 0
        while index < Int(payload.tensor_count) {
            let candidate = tensors[index].name
            if candidate.size == name.size,
                name.size == 0 || memcmp(candidate.data.unsafelyUnwrapped, name.start.unsafelyUnwrapped, name.size) == 0
            {
                return tensors + index
            }
            index &+= 1
        }
        return nil
    }
}

/// Text of a query, decoded as it is read.
struct FormText {
    let start: UnsafePointer<UInt8>
    let size: Int
    private var at = 0

    init(_ start: UnsafePointer<UInt8>, _ size: Int) {
        self.start = start
        self.size = size
    }

    var isEscaped: Bool {
        place(of: UInt8(ascii: "%"), in: start, 0..<size) != nil
            || place(of: UInt8(ascii: "+"), in: start, 0..<size) != nil
    }

    /// A `%` that two digits do not follow stands for itself.
    mutating func next() -> UInt8? {
        guard at < size else { return nil }
        let byte = start[at]
        at &+= 1
        if byte == UInt8(ascii: "+") { return 0x20 }
        guard byte == UInt8(ascii: "%"), at &+ 1 < size, let high = hexadecimalDigit(start[at]),
            let low = hexadecimalDigit(start[at &+ 1])
        else { return byte }
        at &+= 2
        return high << 4 | low
    }

    mutating func equals(_ other: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var index = 0
        while let byte = next() {
            guard index < count, other[index] == byte else { return false }
            index &+= 1
        }
        return index == count
    }
}

/// Index of the first `byte` in a range of memory.
@inline(__always)
func place(of byte: UInt8, in start: UnsafePointer<UInt8>, _ range: Range<Int>) -> Int? {
    guard let found = memchr(start + range.lowerBound, Int32(byte), range.count) else { return nil }
    return UnsafePointer(found.assumingMemoryBound(to: UInt8.self)) - start
}

@inline(__always)
func hexadecimalDigit(_ byte: UInt8) -> UInt8? {
    if byte &- 0x30 < 10 { return byte &- 0x30 }
    let letter = (byte | 0x20) &- 0x61
    return letter < 6 ? letter &+ 10 : nil
}

/// Whether `size` bytes are the same but for the case of ASCII letters.
@inline(__always)
func equalCaseless(_ one: UnsafePointer<UInt8>, _ other: UnsafePointer<UInt8>, _ size: Int) -> Bool {
    guard size >= 8 else {
        var index = 0
        while index < size {
            if lowercased(one[index]) != lowercased(other[index]) { return false }
            index &+= 1
        }
        return true
    }
    // The last word first, which may overlap the one before: names of one length differ more often at their ends.
    var offset = size &- 8
    while true {
        if lowercasedWord(one, offset) != lowercasedWord(other, offset) { return false }
        if offset == 0 { return true }
        offset = max(offset &- 8, 0)
    }
}

/// Eight bytes with their ASCII capitals in lower case: for each byte at once, bit 7 of `from` says that it is at
/// least A, that of `beyond` that it is more than Z.
@inline(__always)
private func lowercasedWord(_ start: UnsafePointer<UInt8>, _ offset: Int) -> UInt64 {
    let word = UnsafeRawPointer(start).loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    let ascii = word & 0x7F7F_7F7F_7F7F_7F7F
    let from = ascii &+ 0x3F3F_3F3F_3F3F_3F3F
    let beyond = ascii &+ 0x2525_2525_2525_2525
    let capitals = (from ^ beyond) & ~word & 0x8080_8080_8080_8080
    return word | capitals >> 2
}

@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 { byte &- 0x41 < 26 ? byte | 0x20 : byte }
