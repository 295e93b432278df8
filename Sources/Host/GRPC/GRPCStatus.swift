import Glibc
import HTTP1
import SluiceABI

/// Status codes and messages of gRPC as they stand in fields. Pure.
enum GRPCStatus {
    /// Canonical codes are those of the ABI with the sign turned; what is none is INTERNAL.
    static func code(of status: sluice_status) -> UInt64 {
        status < 0 && status >= -16 ? UInt64(-status) : status == 0 ? 0 : 13
    }

    /// The status of an answer that is no gRPC, by its HTTP status (grpc/doc/http-grpc-status-mapping.md).
    static func status(ofHTTP status: UInt16) -> sluice_status {
        switch status {
        case 400: SLUICE_INTERNAL
        case 401: SLUICE_UNAUTHENTICATED
        case 403: SLUICE_PERMISSION_DENIED
        case 404: SLUICE_UNIMPLEMENTED
        case 429, 502, 503, 504: SLUICE_UNAVAILABLE
        default: SLUICE_UNKNOWN
        }
    }

    /// The value of `grpc-status`; nil when it is no number of at most two digits.
    static func parse(_ text: sluice_bytes) -> sluice_status? {
        guard (1...2).contains(text.size), let bytes = text.data else { return nil }
        var value: Int32 = 0
        for index in 0..<text.size {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value * 10 + Int32(digit)
        }
        // A code that nobody knows is UNKNOWN (grpc/doc/statuscodes.md).
        return value > 16 ? SLUICE_UNKNOWN : -value
    }

    /// Bytes that `grpc-message` says as they are: printable ASCII but `%` (gRPC over HTTP/2, "Responses").
    private static func isPlain(_ byte: UInt8) -> Bool { byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") }

    /// Percent-encodes; needs three bytes of room for each of the text.
    static func write(message: sluice_bytes, to writer: inout ByteWriter) {
        guard let bytes = message.data else { return }
        for index in 0..<message.size {
            let byte = bytes[index]
            if isPlain(byte) {
                writer.write(byte)
            } else {
                writer.write(UInt8(ascii: "%"))
                writer.write(hexDigit(byte >> 4))
                writer.write(hexDigit(byte & 15))
            }
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") &+ value : UInt8(ascii: "A") &+ value &- 10
    }

    /// Decodes `text` into `room`, which has as many bytes as `text`; what is no escape stays as it is.
    static func decode(message text: sluice_bytes, into room: UnsafeMutablePointer<UInt8>) -> sluice_bytes {
        guard let bytes = text.data else { return .empty }
        var count = 0
        var index = 0
        while index < text.size {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < text.size, let high = nibble(bytes[index + 1]),
                let low = nibble(bytes[index + 2])
            {
                room[count] = high << 4 | low
                index += 3
            } else {
                room[count] = bytes[index]
                index += 1
            }
            count += 1
        }
        return sluice_bytes(room, count)
    }

    private static func nibble(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte &- UInt8(ascii: "a") &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte &- UInt8(ascii: "A") &+ 10
        default: nil
        }
    }

    /// Whether a content type is gRPC's: `application/grpc`, alone or followed by `+` or `;`.
    static func isContentType(_ text: sluice_bytes) -> Bool {
        let type: StaticString = "application/grpc"
        let size = type.utf8CodeUnitCount
        guard text.size >= size, let bytes = text.data,
            strncasecmp(
                UnsafeRawPointer(bytes).assumingMemoryBound(to: CChar.self),
                UnsafeRawPointer(type.utf8Start).assumingMemoryBound(to: CChar.self), size) == 0
        else { return false }
        return text.size == size || bytes[size] == UInt8(ascii: "+") || bytes[size] == UInt8(ascii: ";")
    }

    /// The value of a field among trailer lines, `name: value` with CRLF, names in lower case.
    static func value(of name: StaticString, in lines: Buffer) -> sluice_bytes? {
        guard lines.count > 0 else { return nil }
        let wanted = sluice_bytes(name)
        var cursor = lines.head
        let end = lines.tail
        while cursor < end {
            let line = cursor
            let lineEnd = memchr(cursor, 0x0D, end - cursor)?.assumingMemoryBound(to: UInt8.self) ?? end
            cursor = min(lineEnd + 2, end)
            guard lineEnd - line > wanted.size, line[wanted.size] == UInt8(ascii: ":"),
                sluice_bytes(line.asImmutable, wanted.size).equalsIgnoringCase(wanted)
            else { continue }
            var value = line + wanted.size + 1
            while value < lineEnd, value[0] == 0x20 { value += 1 }
            return sluice_bytes(value.asImmutable, lineEnd - value)
        }
        return nil
    }
}
