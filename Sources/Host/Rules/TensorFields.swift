import SluiceABI

/// What rules read of a tensor. Nothing here trusts the shape and the size of the data to agree.
extension UnsafePointer<sluice_tensor> {
    /// The product of the shape; nil when it does not fit 64 bits or a dimension is negative.
    var elements: Int64? {
        var count: Int64 = 1
        for index in 0..<Int(pointee.rank) {
            guard let dimension = pointee.shape?[index], dimension >= 0 else { return nil }
            let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
            guard !overflow else { return nil }
            count = product
        }
        return count
    }

    func dimension(_ index: Int) -> Value {
        let rank = Int(pointee.rank)
        let place = index < 0 ? rank &+ index : index
        guard place >= 0, place < rank, let shape = pointee.shape else { return .absent }
        return .integer(shape[place])
    }

    /// The smallest or largest element. Absent for texts, for no elements, for more than `RuleBounds.rangeElements`,
    /// for data that are elsewhere (shared memory) or not of the shape's size, and when no element is a number.
    @inline(never)
    func range(smallest: Bool) -> Value {
        guard let count = elements, count > 0, count <= RuleBounds.rangeElements, let data = pointee.data.data else {
            return .absent
        }
        let bytes = UnsafeRawBufferPointer(start: data, count: pointee.data.size)
        switch Int32(pointee.datatype) {
        case SLUICE_DATATYPE_BOOL, SLUICE_DATATYPE_UINT8: return whole(bytes, UInt8.self, count, smallest)
        case SLUICE_DATATYPE_UINT16: return whole(bytes, UInt16.self, count, smallest)
        case SLUICE_DATATYPE_UINT32: return whole(bytes, UInt32.self, count, smallest)
        case SLUICE_DATATYPE_UINT64: return whole(bytes, UInt64.self, count, smallest)
        case SLUICE_DATATYPE_INT8: return whole(bytes, Int8.self, count, smallest)
        case SLUICE_DATATYPE_INT16: return whole(bytes, Int16.self, count, smallest)
        case SLUICE_DATATYPE_INT32: return whole(bytes, Int32.self, count, smallest)
        case SLUICE_DATATYPE_INT64: return whole(bytes, Int64.self, count, smallest)
        case SLUICE_DATATYPE_FP16: return float(bytes, UInt16.self, count, smallest) { halfFloat($0) }
        case SLUICE_DATATYPE_BF16:
            return float(bytes, UInt16.self, count, smallest) { Float(bitPattern: UInt32($0) << 16) }
        case SLUICE_DATATYPE_FP32: return float(bytes, UInt32.self, count, smallest) { Float(bitPattern: $0) }
        case SLUICE_DATATYPE_FP64: return float(bytes, UInt64.self, count, smallest) { Double(bitPattern: $0) }
        default: return .absent
        }
    }

    @inline(__always)
    private func whole<Element: FixedWidthInteger & BitwiseCopyable>(
        _ bytes: UnsafeRawBufferPointer, _ type: Element.Type, _ count: Int64, _ smallest: Bool
    ) -> Value {
        guard bytes.count == Int(count) &* MemoryLayout<Element>.size else { return .absent }
        var best = bytes.loadUnaligned(as: Element.self)
        var offset = 0
        while offset < bytes.count {
            let element = bytes.loadUnaligned(fromByteOffset: offset, as: Element.self)
            best = smallest ? Swift.min(best, element) : Swift.max(best, element)
            offset &+= MemoryLayout<Element>.size
        }
        return Element.isSigned
            ? .integer(Int64(truncatingIfNeeded: best)) : .unsigned(UInt64(truncatingIfNeeded: best))
    }

    @inline(__always)
    private func float<Bits: FixedWidthInteger & BitwiseCopyable, Element: BinaryFloatingPoint>(
        _ bytes: UnsafeRawBufferPointer, _ type: Bits.Type, _ count: Int64, _ smallest: Bool, _ read: (Bits) -> Element
    ) -> Value {
        guard bytes.count == Int(count) &* MemoryLayout<Bits>.size else { return .absent }
        var best = smallest ? Element.infinity : -Element.infinity
        var found = false
        var offset = 0
        while offset < bytes.count {
            let element = read(bytes.loadUnaligned(fromByteOffset: offset, as: Bits.self))
            // A NaN is neither less nor greater than anything.
            found = found || element == element
            if smallest ? element < best : element > best { best = element }
            offset &+= MemoryLayout<Bits>.size
        }
        guard found else { return .absent }
        return Value(.number, bits: Double(best).bitPattern)
    }
}

/// IEEE 754 binary16. Swift's own Float16 is missing on x86-64 before AVX512-FP16.
@inline(__always)
func halfFloat(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    if exponent == 0x1F { return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13) }
    if exponent > 0 { return Float(bitPattern: sign | (exponent &+ 112) << 23 | fraction << 13) }
    // Subnormal: the fraction counts 2^-24.
    let magnitude = Float(fraction) * 0x1p-24
    return sign == 0 ? magnitude : -magnitude
}
