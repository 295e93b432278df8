import SluiceABI

/// Segments of a path, as routes capture them.
public enum PathSegment {
    /// The name that a captured segment spells: percent-encoding taken off (RFC 3986 §2.1), in the arena when there was
    /// any, else the view itself.
    public static func decode(_ segment: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) -> sluice_bytes {
        let bytes = segment.buffer
        guard bytes.contains(UInt8(ascii: "%")) else { return segment }
        let target = try arena.allocate(UInt8.self, count: bytes.count)
        var size = 0
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%") {
                guard let byte = PercentEncoding.byte(bytes, at: index) else {
                    throw CodecFailure("the path has a percent sign that encodes nothing", subject: segment)
                }
                target[size] = byte
                index += PercentEncoding.size
            } else {
                target[size] = bytes[index]
                index += 1
            }
            size += 1
        }
        return sluice_bytes(data: target, size: size)
    }

    /// Writes `name` as one segment: all but the unreserved characters (RFC 3986 §2.3) percent-encoded.
    public static func write(_ name: sluice_bytes, _ writer: inout JSONWriter) throws(CodecFailure) {
        let digits: StaticString = "0123456789ABCDEF"
        for byte in name.buffer {
            if PercentEncoding.isUnreserved(byte) {
                try writer.byte(byte)
            } else {
                try writer.byte(UInt8(ascii: "%"))
                try writer.byte(digits.utf8Start[Int(byte >> 4)])
                try writer.byte(digits.utf8Start[Int(byte & 0xF)])
            }
        }
    }
}

/// Bytes of a path as `%XX` (RFC 3986 §2.1).
enum PercentEncoding {
    /// Bytes of one that is encoded.
    static let size = 3

    /// The byte that the three bytes at `index` encode; nil when they encode none.
    @inline(__always)
    static func byte(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt8? {
        guard bytes.count - index >= size, bytes[index] == UInt8(ascii: "%"), let high = bytes[index + 1].hexDigit,
            let low = bytes[index + 2].hexDigit
        else { return nil }
        return high << 4 | low
    }

    /// Whether a byte means the same encoded and plain (§2.3).
    static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}

/// Segments `.` and `..` (RFC 3986 §5.2.4), with the dots, and the slashes around them, plain or percent-encoded, and
/// backslashes taken for slashes as some servers do.
public enum DotSegment {
    public static func occurs(in path: sluice_bytes) -> Bool {
        var dots = 0
        var others = 0
        var index = 0
        let bytes = path.buffer
        while index < bytes.count {
            let encoded = PercentEncoding.byte(bytes, at: index)
            let byte = encoded ?? bytes[index]
            index += encoded == nil ? 1 : PercentEncoding.size
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "\\"):
                if others == 0, dots == 1 || dots == 2 { return true }
                dots = 0
                others = 0
            case UInt8(ascii: "."): dots += 1
            default: others += 1
            }
        }
        return others == 0 && (dots == 1 || dots == 2)
    }
}
