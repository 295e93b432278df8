/// Whether `bytes` are `uri-host [":" port]` (RFC 9110 §7.2), not empty, without user information or path.
///
/// Stricter than the grammar where hops disagree: no escapes or sub-delimiters in a name, a port is one to five digits
/// up to 65535, and what stands in brackets looks like an IPv6 address.
func isAuthority(_ bytes: sluice_bytes, _ classes: UnsafePointer<UInt8>) -> Bool {
    guard bytes.size > 0, let start = bytes.data else { return false }
    let end = start + bytes.size
    var cursor: UnsafePointer<UInt8>
    if start[0] == UInt8(ascii: "[") {
        cursor = skip(start + 1, end, classes, ByteClass.ipLiteral)
        guard cursor < end, cursor[0] == UInt8(ascii: "]"), cursor - start >= 3 else { return false }
        cursor += 1
    } else {
        cursor = skip(start, end, classes, ByteClass.hostName)
        guard cursor > start else { return false }
    }
    if cursor == end { return true }
    guard cursor[0] == ASCII.colon else { return false }
    cursor += 1
    let digits = end - cursor
    guard digits >= 1, digits <= 5 else { return false }
    var port: UInt32 = 0
    while cursor < end {
        let digit = cursor[0] &- UInt8(ascii: "0")
        guard digit <= 9 else { return false }
        port = port &* 10 &+ UInt32(digit)
        cursor += 1
    }
    return port <= 65535
}
