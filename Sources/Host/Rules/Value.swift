import SluiceABI

/// A value at the time of a request: 24 bytes that own nothing. Texts point into the request, the rule or the
/// exchange's arena.
struct Value {
    enum Kind: UInt8 {
        /// Not there, of another type than was asked for, or without a result (a division by zero).
        case absent
        case null
        /// An object or array of JSON: it is there, and that is all.
        case structure
        case boolean
        case integer
        /// An unsigned 64-bit number above `Int64.max`, as functions return them.
        case large
        case number
        case text
        /// No value: the body has to be read first.
        case needsBody
        /// No value: the exchange's bound on memory is reached.
        case noMemory
    }

    var kind: Kind
    /// The number's or truth value's bits, or the address of the text.
    var bits: UInt64
    /// Bytes of a text.
    var size: Int

    @inline(__always)
    init(_ kind: Kind, bits: UInt64 = 0, size: Int = 0) {
        self.kind = kind
        self.bits = bits
        self.size = size
    }

    static var absent: Value { Value(.absent) }

    @inline(__always)
    static func boolean(_ value: Bool) -> Value { Value(.boolean, bits: value ? 1 : 0) }

    @inline(__always)
    static func integer(_ value: Int64) -> Value { Value(.integer, bits: UInt64(bitPattern: value)) }

    @inline(__always)
    static func unsigned(_ value: UInt64) -> Value { Value(value > UInt64(Int64.max) ? .large : .integer, bits: value) }

    /// What is no number, and infinity, is absent.
    @inline(__always)
    static func number(_ value: Double) -> Value {
        value.isFinite ? Value(.number, bits: value.bitPattern) : .absent
    }

    @inline(__always)
    static func text(_ bytes: sluice_bytes) -> Value {
        Value(.text, bits: UInt64(UInt(bitPattern: bytes.data)), size: bytes.size)
    }

    @inline(__always)
    static func text(_ start: UnsafePointer<UInt8>?, _ size: Int) -> Value {
        Value(.text, bits: UInt64(UInt(bitPattern: start)), size: size)
    }

    /// Empty texts of the ABI mean "none".
    @inline(__always)
    static func optionalText(_ bytes: sluice_bytes) -> Value { bytes.size == 0 ? .absent : .text(bytes) }

    var isTrue: Bool {
        @inline(__always) get { kind == .boolean && bits != 0 }
    }
    var integer: Int64 {
        @inline(__always) get { Int64(bitPattern: bits) }
    }
    var number: Double {
        @inline(__always) get { Double(bitPattern: bits) }
    }
    var start: UnsafePointer<UInt8>? {
        @inline(__always) get { UnsafePointer(bitPattern: UInt(bits)) }
    }
    var isNumeric: Bool {
        @inline(__always) get { kind == .integer || kind == .number || kind == .large }
    }
    /// A numeric value as a float; above 2^53 the nearest one.
    var float: Double {
        switch kind {
        case .integer: Double(integer)
        case .large: Double(bits)
        default: number
        }
    }
}
