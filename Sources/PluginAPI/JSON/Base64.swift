import SluiceABI

/// Base 64 (RFC 4648 §4), with padding.
public enum Base64 {
    /// Decodes `text` into `target`, which has room for three bytes of every four characters begun.
    ///
    /// - Returns: the size, or nil when the text is none: padding may be left out, but not wrong; no line breaks.
    public static func decode(_ text: sluice_bytes, to target: UnsafeMutablePointer<UInt8>) -> Int? {
        var count = text.buffer.count
        if count % 4 == 0 {
            for _ in 0..<2 where count > 0 && text.buffer[count - 1] == UInt8(ascii: "=") {
                count -= 1
            }
        }
        guard count % 4 != 1 else { return nil }
        var size = 0
        var group: UInt32 = 0
        for index in 0..<count {
            guard let value = value(text.buffer[index]) else { return nil }
            group = group << 6 | value
            if index % 4 == 3 {
                target[size] = UInt8(truncatingIfNeeded: group >> 16)
                target[size + 1] = UInt8(truncatingIfNeeded: group >> 8)
                target[size + 2] = UInt8(truncatingIfNeeded: group)
                size += 3
                group = 0
            }
        }
        switch count % 4 {
        case 2:
            guard group & 0xF == 0 else { return nil }
            target[size] = UInt8(truncatingIfNeeded: group >> 4)
            size += 1
        case 3:
            guard group & 0x3 == 0 else { return nil }
            target[size] = UInt8(truncatingIfNeeded: group >> 10)
            target[size + 1] = UInt8(truncatingIfNeeded: group >> 2)
            size += 2
        default: break
        }
        return size
    }

    /// Writes the text of `bytes`.
    public static func write(_ bytes: sluice_bytes, _ writer: inout JSONWriter) throws(CodecFailure) {
        let input = bytes.buffer
        var index = 0
        while index < input.count {
            let left = input.count - index
            let group =
                UInt32(input[index]) << 16 | (left > 1 ? UInt32(input[index + 1]) << 8 : 0)
                | (left > 2 ? UInt32(input[index + 2]) : 0)
            let target = try writer.reserve(4)
            target[0] = letter(group >> 18)
            target[1] = letter(group >> 12)
            target[2] = left > 1 ? letter(group >> 6) : UInt8(ascii: "=")
            target[3] = left > 2 ? letter(group) : UInt8(ascii: "=")
            writer.commit(4)
            index += 3
        }
    }

    private static func letter(_ value: UInt32) -> UInt8 {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        return alphabet.utf8Start[Int(value & 0x3F)]
    }

    private static func value(_ letter: UInt8) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter) - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter) - 48 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
