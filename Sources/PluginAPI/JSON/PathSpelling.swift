import SluiceABI

/// Paths that are passed on unread. Routes are matched byte for byte, while a backend may serve what a path comes to
/// when it is normalised: such a path could be that of another route, or of another model, spelt so that none matches.
public enum PathSpelling {
    /// Whether the path is not its own normal form (RFC 3986 section 6.2.2): a character that needs no encoding
    /// (section 2.3) or a slash as %XX, two slashes in a row, or a dot segment. Backslashes are taken for slashes, as
    /// some servers do. No client has to write any of these.
    public static func hasAnother(_ path: sluice_bytes) -> Bool {
        let bytes = path.buffer
        var index = 0
        var followsSlash = false
        while index < bytes.count {
            let byte = bytes[index]
            if byte == UInt8(ascii: "%"), bytes.count - index > 2, let high = bytes[index + 1].hexDigit,
                let low = bytes[index + 2].hexDigit
            {
                let spelt = high << 4 | low
                if isUnreserved(spelt) || isSlash(spelt) { return true }
                index += 3
                followsSlash = false
                continue
            }
            if byte == UInt8(ascii: "\\") { return true }
            let isSlash = byte == UInt8(ascii: "/")
            if isSlash, followsSlash { return true }
            followsSlash = isSlash
            index += 1
        }
        return DotSegment.occurs(in: path)
    }

    private static func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }

    private static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}
