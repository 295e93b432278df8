/// Reads the cookies that a client sends, without a copy: RFC 6265 section 4.2.1, and what browsers write by section
/// 5.4. A pair that is not of that grammar is passed over, and the others are read all the same: it is the work of
/// somebody else on the client's domain, and no reason to lose one's own cookie.
@frozen
public struct Cookies {
    @usableFromInline let message: Message

    /// The cookies of a received request. Valid as long as the message.
    @inlinable @inline(__always)
    public init(_ message: Message) { self.message = message }

    /// The value of the first cookie of that name, quotes included where it has any; nil when there is none. Names
    /// differ by case. A client sends the cookie with the longest path first (section 5.4), and HTTP/2 may cut the
    /// field in several (RFC 9113 section 8.2.3).
    @inlinable
    public func value(of name: Bytes) -> Bytes? {
        for field in message.fields where field.name.equalsIgnoringCase("cookie") {
            if let value = Self.value(of: name, in: field.value) { return value }
        }
        return nil
    }

    /// The same for the value of one field, `a=1; b=2`.
    public static func value(of name: Bytes, in field: Bytes) -> Bytes? {
        guard !name.isEmpty else { return nil }
        var start = 0
        while start < field.count {
            let end = field.firstIndex(of: 0x3B, from: start) ?? field.count
            // Browsers put one space behind the semicolon; some libraries put none, or more.
            let pair = field[start..<end].trimmed
            if pair.count > name.count, pair[name.count] == 0x3D, pair.hasPrefix(name) {
                let value = pair.dropFirst(name.count + 1)
                if isValue(value) { return value }
            }
            start = end + 1
        }
        return nil
    }

    /// Whether the bytes are a `cookie-value`: RFC 6265 section 4.1.1.
    public static func isValue(_ value: Bytes) -> Bool {
        let isQuoted = value.count >= 2 && value.at(0) == 0x22 && value.at(value.count - 1) == 0x22
        for octet in isQuoted ? value[1..<(value.count - 1)] : value {
            switch octet {
            // No control, white space, quote, comma, semicolon, backslash or byte beyond ASCII.
            case 0x21, 0x23...0x2B, 0x2D...0x3A, 0x3C...0x5B, 0x5D...0x7E: continue
            default: return false
            }
        }
        return true
    }
}
