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
            if let spelt = PercentEncoding.byte(bytes, at: index) {
                if PercentEncoding.isUnreserved(spelt) || isSlash(spelt) { return true }
                index += PercentEncoding.size
                followsSlash = false
                continue
            }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\\") { return true }
            let isSlash = byte == UInt8(ascii: "/")
            if isSlash, followsSlash { return true }
            followsSlash = isSlash
            index += 1
        }
        return DotSegment.occurs(in: path)
    }

    private static func isSlash(_ byte: UInt8) -> Bool { byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") }
}
