import SluiceABI

/// Numbers of variable length (protobuf.dev, Encoding, "Base 128 Varints").
public enum Varint {
    /// Bytes of the longest.
    public static let maximumSize = 10

    /// The number at `offset`, which is moved behind it; nil when the bytes end within it or it has more than 64 bits.
    @inline(__always)
    public static func read(_ bytes: sluice_bytes, _ offset: inout Int) -> UInt64? {
        guard offset < bytes.size, let data = bytes.data else { return nil }
        let first = data[offset]
        if first < 0x80 {
            offset += 1
            return UInt64(first)
        }
        var value = UInt64(first & 0x7F)
        var shift: UInt64 = 7
        var index = offset + 1
        while index < bytes.size, shift < 64 {
            let byte = data[index]
            index += 1
            // The tenth byte has one bit left to give.
            guard shift < 63 || byte <= 1 else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                offset = index
                return value
            }
            shift += 7
        }
        return nil
    }

    /// Bytes that `value` takes: 1 to 10.
    @inline(__always)
    public static func size(_ value: UInt64) -> Int {
        (max(64 - value.leadingZeroBitCount, 1) + 6) / 7
    }

    /// Writes `value` and returns its size; `target` has room for it.
    @inline(__always)
    public static func write(_ value: UInt64, to target: UnsafeMutablePointer<UInt8>) -> Int {
        var left = value
        var count = 0
        while left >= 0x80 {
            target[count] = UInt8(truncatingIfNeeded: left) | 0x80
            left >>= 7
            count += 1
        }
        target[count] = UInt8(truncatingIfNeeded: left)
        return count + 1
    }
}
