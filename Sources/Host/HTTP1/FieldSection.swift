/// A set of fields of one section, by index, 0 to 127.
public struct FieldMask: Equatable, Sendable {
    public var low: UInt64
    public var high: UInt64

    @inlinable
    public init() {
        low = 0
        high = 0
    }

    @inlinable
    public var isEmpty: Bool { low | high == 0 }

    /// `index` must be below 128; what is above wraps around.
    @inlinable
    public func contains(_ index: Int) -> Bool {
        (index & 64 == 0 ? low : high) & (1 &<< UInt64(truncatingIfNeeded: index)) != 0
    }

    /// `index` must be below 128; what is above wraps around.
    @inlinable
    public mutating func insert(_ index: Int) {
        let bit: UInt64 = 1 &<< UInt64(truncatingIfNeeded: index)
        if index & 64 == 0 { low |= bit } else { high |= bit }
    }
}

/// The header or trailer fields of one message: views into the bytes that were parsed, in their order.
///
/// Storage and bytes are the caller's, and the section is valid as long as both.
public struct FieldSection {
    /// As many as a mask can tell apart.
    public static let countAtMost = 128

    /// The parsed fields; names as they were sent, values without the white space around them.
    public internal(set) var base: UnsafeMutablePointer<sluice_field>
    public internal(set) var count: Int
    /// The fields that end here and are not forwarded (RFC 9110 §7.6.1): Connection and all that it nominates, and,
    /// nominated or not, Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade and HTTP2-Settings.
    ///
    /// Content-Length is among them because this gateway writes the framing of every message it sends itself.
    /// Trailer is not: it announces fields to the recipient of the content, and trailers are forwarded. Host is never
    /// taken out by nomination: a request without it can't be routed by the next hop, and a client must not be able
    /// to choose that.
    public internal(set) var hopByHop = FieldMask()

    // Where well-known fields are; the first one if repeated; -1 if absent.
    public internal(set) var host: Int16 = -1
    public internal(set) var contentLength: Int16 = -1
    public internal(set) var transferEncoding: Int16 = -1
    public internal(set) var connection: Int16 = -1
    public internal(set) var contentType: Int16 = -1
    public internal(set) var contentEncoding: Int16 = -1
    public internal(set) var authorization: Int16 = -1
    public internal(set) var accept: Int16 = -1
    public internal(set) var expect: Int16 = -1
    public internal(set) var upgrade: Int16 = -1
    public internal(set) var te: Int16 = -1
    public internal(set) var trailer: Int16 = -1
    public internal(set) var date: Int16 = -1
    public internal(set) var traceparent: Int16 = -1

    var repeats = Repeats()

    /// The bytes that were parsed. Fields whose views lie within are known to be well-formed; a plugin may have put
    /// others in their place.
    var start: UnsafePointer<UInt8>
    var end: UnsafePointer<UInt8>

    /// Which of the fields that a message must have only once were there again.
    struct Repeats: OptionSet {
        let rawValue: UInt8
        static let host = Repeats(rawValue: 1)
        static let contentLength = Repeats(rawValue: 2)
        static let transferEncoding = Repeats(rawValue: 4)
        /// Allowed: the values make one list.
        static let connection = Repeats(rawValue: 8)
        /// Allowed, if all say the same.
        static let expect = Repeats(rawValue: 16)
    }

    /// An empty section over caller's storage.
    @inline(__always)
    init(storage: UnsafeMutablePointer<sluice_field>, start: UnsafePointer<UInt8>) {
        base = storage
        count = 0
        self.start = start
        end = start
    }

    /// Moves the fields to storage of the caller's with room for `count`; the views stay as they are.
    public mutating func move(to storage: UnsafeMutablePointer<sluice_field>) {
        storage.update(from: base, count: count)
        base = storage
    }

    /// Puts a field behind the others; the storage must have room, and `count` stay within 128.
    public mutating func append(_ field: sluice_field) {
        base[count] = field
        count &+= 1
    }

    /// The field at `index`, 0 to `count` - 1; not checked.
    @inlinable
    public subscript(index: Int) -> sluice_field { base[index] }

    /// The value of a well-known field by its index here, or nil if that is -1.
    @inlinable
    public func value(_ index: Int16) -> sluice_bytes? {
        index < 0 ? nil : base[Int(index)].value
    }
}
