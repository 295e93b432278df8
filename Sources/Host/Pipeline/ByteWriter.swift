import SluiceABI

/// Writes text into memory of fixed size; what does not fit is cut and noted.
struct ByteWriter {
    private let base: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private(set) var count = 0
    private(set) var isCut = false

    init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    var bytes: sluice_bytes { sluice_bytes(base, count) }

    mutating func write(_ byte: UInt8) {
        guard count < capacity else {
            isCut = true
            return
        }
        base[count] = byte
        count &+= 1
    }

    mutating func write(_ text: sluice_bytes) {
        guard let data = text.data else { return }
        let fitting = min(text.size, capacity - count)
        (base + count).update(from: data, count: fitting)
        count &+= fitting
        if fitting < text.size { isCut = true }
    }

    mutating func write(_ text: StaticString) { write(sluice_bytes(text)) }

    mutating func write(decimal number: UInt64) {
        var scale: UInt64 = 1
        while number / scale >= 10 { scale *= 10 }
        var rest = number
        while scale > 0 {
            write(UInt8(0x30 + rest / scale))
            rest %= scale
            scale /= 10
        }
    }

    /// The inside of a JSON string (RFC 8259 §7). Bytes above ASCII go as they are; what is not text is the writer's of
    /// the message to avoid.
    mutating func write(json text: sluice_bytes) {
        guard let data = text.data else { return }
        for index in 0..<text.size {
            let byte = data[index]
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                write(UInt8(ascii: "\\"))
                write(byte)
            case 0..<0x20:
                write("\\u00")
                write(Self.hexadecimal(byte >> 4))
                write(Self.hexadecimal(byte & 15))
            default: write(byte)
            }
        }
    }

    /// `{"error": "…"}`: the shape of an error when no adapter has taken the request. It is that of V2 and V1 alike.
    mutating func writeErrorObject(_ message: sluice_bytes) {
        write("{\"error\":\"")
        // The closing bracket must fit, and a character is not to be cut in two (RFC 3629 §3).
        let fitting = message.cut(atMost: max(0, (capacity - count - 3) / 6))
        if fitting.size < message.size { isCut = true }
        write(json: fitting)
        write("\"}\n")
    }

    private static func hexadecimal(_ digit: UInt8) -> UInt8 { digit < 10 ? 0x30 + digit : 0x57 + digit }
}

extension UnsafeMutablePointer<UInt8> {
    var asImmutable: UnsafePointer<UInt8> { UnsafePointer(self) }
}
