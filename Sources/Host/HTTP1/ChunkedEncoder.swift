/// Puts the chunked transfer coding on a body (RFC 9112 §7.1): size line, data, CRLF, and at the end the last chunk.
public enum ChunkedEncoder {
    /// Bytes of the longest size line: 16 digits and CRLF.
    public static let sizeLineBytes = 18

    /// What follows a chunk's data.
    public static let chunkEnd: StaticString = "\r\n"

    /// What ends a body without trailers. With trailers: `lastChunk`, the field lines, `chunkEnd`.
    public static let end: StaticString = "0\r\n\r\n"

    public static let lastChunk: StaticString = "0\r\n"

    /// Writes the size line of a chunk of `size` bytes, 1 or more (0 would end the body), to `buffer`, which has room
    /// for `sizeLineBytes`. Returns the bytes written.
    public static func writeSizeLine(_ size: UInt64, to buffer: UnsafeMutablePointer<UInt8>) -> Int {
        let digits = max(1, (64 - size.leadingZeroBitCount + 3) >> 2)
        var rest = size
        var index = digits
        while index > 0 {
            index -= 1
            let digit = UInt8(truncatingIfNeeded: rest & 15)
            buffer[index] = digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10
            rest >>= 4
        }
        buffer[digits] = ASCII.carriageReturn
        buffer[digits + 1] = ASCII.lineFeed
        return digits + 2
    }
}
