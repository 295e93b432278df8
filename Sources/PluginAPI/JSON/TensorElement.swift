import SluiceABI

/// An element type that JSON has a form of.
protocol TensorElement: BitwiseCopyable {
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Self
    static func write(_ value: Self, _ writer: inout JSONWriter) throws(CodecFailure)
    /// For the datatypes that have one.
    static var notANumber: Self? { get }
}

extension TensorElement {
    static var notANumber: Self? { nil }
}

extension FixedWidthInteger where Self: SignedInteger {
    @inline(__always)
    static func readInteger(_ reader: inout JSONReader) throws(CodecFailure) -> Self {
        let number = try reader.number()
        guard let wide = number.asInt64, let value = Self(exactly: wide) else {
            throw reader.fail("a number is no integer, or out of the range of its datatype", at: number.text)
        }
        return value
    }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    @inline(__always)
    static func readInteger(_ reader: inout JSONReader) throws(CodecFailure) -> Self {
        let number = try reader.number()
        guard let wide = number.asUInt64, let value = Self(exactly: wide) else {
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
        if let value = reader.plainDecimal() { return value }
        let number = try reader.number()
        guard let value = number.asDouble else {
            throw reader.fail("a number is out of the range of its datatype", at: number.text)
        }
        return value
    }
    @inline(__always)
    static func write(_ value: Double, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.number(value) }
}

extension Float: TensorElement {
    static var notANumber: Float? { nan }

    /// Rounded by way of binary64, as Triton and NumPy do: a client gets what it gets without the gateway.
    @inline(__always)
    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> Float {
        let position = reader.cursor
        let value = Float(try Double.read(&reader))
        guard value.isFinite else { throw reader.fail("a number is out of the range of its datatype", at: position) }
        return value
    }
    @inline(__always)
    static func write(_ value: Float, _ writer: inout JSONWriter) throws(CodecFailure) { try writer.number(value) }
}

/// One byte, 0 or 1. JSON's form is true or false; 1 and 0 are read, too, as NumPy-based servers do.
struct BoolElement: TensorElement {
    var byte: UInt8

    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> BoolElement {
        guard try reader.peek() == .number else { return BoolElement(byte: try reader.boolean() ? 1 : 0) }
        let number = try reader.number()
        guard let value = number.asInt64, value == 0 || value == 1 else {
            throw reader.fail("expected true or false", at: number.text)
        }
        return BoolElement(byte: UInt8(value))
    }

    static func write(_ value: BoolElement, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.boolean(value.byte != 0)
    }
}

/// IEEE 754 binary16 by its bits.
struct HalfElement: TensorElement {
    var bits: UInt16

    static var notANumber: HalfElement? { HalfElement(bits: 0x7E00) }

    static func read(_ reader: inout JSONReader) throws(CodecFailure) -> HalfElement {
        let position = reader.cursor
        let value = Float16(try Double.read(&reader))
        guard value.isFinite else { throw reader.fail("a number is out of the range of its datatype", at: position) }
        return HalfElement(bits: value.bitPattern)
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
        let bits = try Float.read(&reader).bitPattern
        // To the nearest, ties to even. A carry may run into the exponent, which is what rounding up means there.
        let rounded = bits &+ 0x7FFF &+ (bits >> 16 & 1)
        guard rounded & 0x7F80_0000 != 0x7F80_0000 else {
            throw reader.fail("a number is out of the range of its datatype")
        }
        return BrainElement(bits: UInt16(truncatingIfNeeded: rounded >> 16))
    }

    static func write(_ value: BrainElement, _ writer: inout JSONWriter) throws(CodecFailure) {
        try writer.number(Float(bitPattern: UInt32(value.bits) << 16))
    }
}
