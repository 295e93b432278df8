/// Base 64 with the alphabet for URLs, as JWS and JWK write it (RFC 7515 §2, RFC 4648 §5): no padding, no white space,
/// and one text only for each content, so that nobody can make two tokens of one.
public enum Base64URL {
    /// The content, or nil when the text is none.
    public static func decode(_ text: some RandomAccessCollection<UInt8>) -> [UInt8]? {
        guard text.count % 4 != 1 else { return nil }
        var content: [UInt8] = []
        content.reserveCapacity(text.count / 4 * 3 + 2)
        var group: UInt32 = 0
        var letters = 0
        for letter in text {
            guard let value = value(letter) else { return nil }
            group = group << 6 | value
            letters += 1
            if letters == 4 {
                content.append(UInt8(truncatingIfNeeded: group >> 16))
                content.append(UInt8(truncatingIfNeeded: group >> 8))
                content.append(UInt8(truncatingIfNeeded: group))
                (group, letters) = (0, 0)
            }
        }
        switch letters {
        case 2:
            guard group & 0xF == 0 else { return nil }
            content.append(UInt8(truncatingIfNeeded: group >> 4))
        case 3:
            guard group & 0x3 == 0 else { return nil }
            content.append(UInt8(truncatingIfNeeded: group >> 10))
            content.append(UInt8(truncatingIfNeeded: group >> 2))
        default: break
        }
        return content
    }

    /// The text of `content`.
    public static func encode(_ content: some Collection<UInt8>) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in content {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(alphabet[Int(bits >> UInt32(count) & 0x3F)])
            }
        }
        if count > 0 { text.append(alphabet[Int(bits << UInt32(6 - count) & 0x3F)]) }
        return String(decoding: text, as: UTF8.self)
    }

    private static func value(_ letter: UInt8) -> UInt32? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(letter) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(letter) - 97 + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(letter) - 48 + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}
