import SluiceABI

/// An element type that JSON has a form of.
protocol TensorElement: BitwiseCopyable {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Self
    /// What a number is as this type; nil when it is not one, or too large.
    static func value(of number: JSONNumber) -> Self?
    static func value(of decimal: PlainDecimal) -> Self?
    /// Whether numbers with a point can be one; `value` is not asked for them else.
    static var canHaveFraction: Bool { get }
    static func write(_ value: Self, _ writer: inout JSONWriter) throws(CodecFailure)
    /// For the datatypes that have one.
    static var notANumber: Self? { get }
}

extension TensorElement {
    static var notANumber: Self? { nil }
    @inline(__always)
    static var canHaveFraction: Bool { true }
}

extension FixedWidthInteger where Self: SignedInteger {
    @inline(__always)
    static func value(of number: JSONNumber) -> Self? {
        guard let wide = number.asInt64 else { return nil }
        return Self(exactly: wide)
    }

    @inline(__always)
    static func value(of decimal: PlainDecimal) -> Self? { Self(exactly: decimal.asInt64) }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    @inline(__always)
    static func value(of number: JSONNumber) -> Self? {
        guard let wide = number.asUInt64 else { return nil }
        return Self(exactly: wide)
    }

    @inline(__always)
    static func value(of decimal: PlainDecimal) -> Self? { Self(exactly: decimal.asInt64) }
}

extension TensorElement where Self: FixedWidthInteger {
    @inline(__always)
    static var canHaveFraction: Bool { false }

    @inline(__always)
    static func readInteger(_ reader: inout JSONReader) throws(CodecFailure) -> Self {
        let number = try reader.number()
        guard let value = value(of: number) else {
            throw reader.fail("a number is no integer, or out of the range of its datatype", at: number.text)
        }
        return value
    }
}

// One conformance each: the generic readers above are specialised with them.
extension Int8: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Int8 { try readInteger(&reader) }
    static func write(_ value: Int8, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(Int64(value))
    }
}
extension Int16: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Int16 { try readInteger(&reader) }
    static func write(_ value: Int16, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(Int64(value))
    }
}
extension Int32: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Int32 { try readInteger(&reader) }
    static func write(_ value: Int32, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(Int64(value))
    }
}
extension Int64: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Int64 { try readInteger(&reader) }
    static func write(_ value: Int64, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.integer(value) }
}
extension UInt8: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> UInt8 { try readInteger(&reader) }
    static func write(_ value: UInt8, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(UInt64(value))
    }
}
extension UInt16: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> UInt16 { try readInteger(&reader) }
    static func write(_ value: UInt16, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(UInt64(value))
    }
}
extension UInt32: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> UInt32 { try readInteger(&reader) }
    static func write(_ value: UInt32, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.integer(UInt64(value))
    }
}
extension UInt64: TensorElement {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> UInt64 { try readInteger(&reader) }
    static func write(_ value: UInt64, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.integer(value) }
}

extension Double: TensorElement {
    static var notANumber: Double? { nan }

    @inline(__always)
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Double {
        let number = try reader.number()
        guard let value = number.asDouble else {
            throw reader.fail("a number is out of the range of its datatype", at: number.text)
        }
        return value
    }
    @inline(__always)
    static func value(of number: JSONNumber) -> Double? { number.asDouble }
    @inline(__always)
    static func value(of decimal: PlainDecimal) -> Double? { decimal.asDouble }
    @inline(__always)
    static func write(_ value: Double, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.number(value) }
}

extension Float: TensorElement {
    static var notANumber: Float? { nan }

    @inline(__always)
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Float {
        let number = try reader.number()
        guard let value = value(of: number) else {
            throw reader.fail("a number is out of the range of its datatype", at: number.text)
        }
        return value
    }

    /// Rounded by way of binary64, as Triton and NumPy do: a client gets what it gets without the gateway.
    @inline(__always)
    static func value(of number: JSONNumber) -> Float? {
        guard let wide = number.asDouble else { return nil }
        let value = Float(wide)
        return value.isFinite ? value : nil
    }
    /// Never too large.
    @inline(__always)
    static func value(of decimal: PlainDecimal) -> Float? { Float(decimal.asDouble) }
    @inline(__always)
    static func write(_ value: Float, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.number(value) }
}

/// One byte, 0 or 1. JSON's form is true or false; 1 and 0 are read, too, as NumPy-based servers do.
struct BoolElement: TensorElement {
    var byte: UInt8

    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> BoolElement {
        guard try reader.peek() == .number else { return BoolElement(byte: try reader.boolean() ? 1 : 0) }
        let number = try reader.number()
        guard let value = value(of: number) else { throw reader.fail("expected true or false", at: number.text) }
        return value
    }

    static func value(of number: JSONNumber) -> BoolElement? {
        guard let value = number.asInt64, value == 0 || value == 1 else { return nil }
        return BoolElement(byte: UInt8(value))
    }

    static func value(of decimal: PlainDecimal) -> BoolElement? {
        let value = decimal.asInt64
        return value == 0 || value == 1 ? BoolElement(byte: UInt8(value)) : nil
    }

    static var canHaveFraction: Bool { false }

    static func write(_ value: BoolElement, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.boolean(value.byte != 0)
    }
}

/// IEEE 754 binary16 by its bits.
struct HalfElement: TensorElement {
    var bits: UInt16

    static var notANumber: HalfElement? { HalfElement(bits: 0x7E00) }

    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> HalfElement {
        let number = try reader.number()
        guard let value = value(of: number) else {
            throw reader.fail("a number is out of the range of its datatype", at: number.text)
        }
        return value
    }

    static func value(of number: JSONNumber) -> HalfElement? {
        number.asDouble.flatMap(rounded)
    }

    static func value(of decimal: PlainDecimal) -> HalfElement? {
        rounded(decimal.asDouble)
    }

    private static func rounded(_ wide: Double) -> HalfElement? {
        let value = Float16(wide)
        return value.isFinite ? HalfElement(bits: value.bitPattern) : nil
    }

    static func write(_ value: HalfElement, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.number(Float(Float16(bitPattern: value.bits)))
    }
}

/// The upper half of a binary32, by its bits.
struct BrainElement: TensorElement {
    var bits: UInt16

    static var notANumber: BrainElement? { BrainElement(bits: 0x7FC0) }

    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> BrainElement {
        let single = try Float.read(&reader)
        guard let value = rounded(single) else { throw reader.fail("a number is out of the range of its datatype") }
        return value
    }

    static func value(of number: JSONNumber) -> BrainElement? {
        Float.value(of: number).flatMap(rounded)
    }

    static func value(of decimal: PlainDecimal) -> BrainElement? {
        Float.value(of: decimal).flatMap(rounded)
    }

    /// To the nearest, ties to even; nil when that is infinite.
    private static func rounded(_ single: Float) -> BrainElement? {
        let bits = single.bitPattern
        // A carry may run into the exponent, which is what rounding up means there.
        let rounded = bits &+ 0x7FFF &+ (bits >> 16 & 1)
        guard rounded & 0x7F80_0000 != 0x7F80_0000 else { return nil }
        return BrainElement(bits: UInt16(truncatingIfNeeded: rounded >> 16))
    }

    static func write(_ value: BrainElement, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.number(Float(bitPattern: UInt32(value.bits) << 16))
    }
}
