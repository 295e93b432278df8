import Glibc

/// What became of a written head.
public enum WriteOutcome: Equatable, Sendable {
    /// Bytes in the buffer.
    case written(Int)
    /// The buffer is too small; nothing in it is of use.
    case doesNotFit
    /// A part that was not parsed, but made by a plugin or the gateway, would break the message: a name that is no
    /// token, a value with a control byte, a path with a space.
    case malformed
}

/// Writes one message head into the caller's buffer: a first line, fields, framing, `finish`.
///
/// A head comes out in one form that every recipient reads alike, whatever the form it came in: HTTP/1.1, one space
/// after each colon, Content-Length or Transfer-Encoding written from the parsed framing and never copied. What was
/// parsed is trusted; all else is checked, so nobody can smuggle a line into a head through a field's value.
public struct HeadWriter {
    private let start: UnsafeMutablePointer<UInt8>
    private var cursor: UnsafeMutablePointer<UInt8>
    private var end: UnsafeMutablePointer<UInt8>
    private let classes: UnsafePointer<UInt8>
    private var fits = true
    private var wellFormed = true

    /// A writer on `capacity` bytes, which must outlive it.
    public init(_ buffer: UnsafeMutablePointer<UInt8>, capacity: Int) {
        start = buffer
        cursor = buffer
        end = buffer + max(capacity, 0)
        classes = ByteClass.table
    }

    /// Writes the empty line. No call may follow.
    public mutating func finish() -> WriteOutcome {
        put("\r\n")
        guard wellFormed else { return .malformed }
        return fits ? .written(cursor - start) : .doesNotFit
    }

    // MARK: First lines

    /// The request line of a parsed request, in origin form.
    public mutating func appendRequestLine(_ head: RequestHead) {
        putRequestLine(head.method, head.path, head.query)
    }

    /// A request line from parts. `query` without data means that there is no `?`.
    public mutating func appendRequestLine(method: sluice_bytes, path: sluice_bytes, query: sluice_bytes) {
        let isAsterisk = path.size == 1 && path.data.unsafelyUnwrapped[0] == UInt8(ascii: "*")
        let isAbsolute = path.size > 0 && path.data.unsafelyUnwrapped[0] == ASCII.slash
        guard isMethod(method), isAbsolute || isAsterisk, consistsOfPath(path),
            query.data == nil || consists(query, of: ByteClass.query)
        else {
            wellFormed = false
            return
        }
        putRequestLine(method, path, query)
    }

    @inline(__always)
    private mutating func putRequestLine(_ method: sluice_bytes, _ path: sluice_bytes, _ query: sluice_bytes) {
        put(method)
        put(" ")
        put(path)
        if query.data != nil {
            put("?")
            put(query)
        }
        put(" HTTP/1.1\r\n")
    }

    /// A status line with the status's usual reason. `status` is 100 to 599.
    public mutating func appendStatusLine(_ status: UInt16) {
        if status == 200 { return put("HTTP/1.1 200 OK\r\n") }
        putStatus(status)
        put(reasonPhrase(status).bytes)
        put("\r\n")
    }

    /// A status line with the reason that a backend gave.
    public mutating func appendStatusLine(_ status: UInt16, reason: sluice_bytes) {
        if status == 200, reason.size == 2, load16(reason.data.unsafelyUnwrapped) == 0x4B4F {
            return put("HTTP/1.1 200 OK\r\n")
        }
        guard consists(reason, of: ByteClass.value) else {
            wellFormed = false
            return
        }
        putStatus(status)
        put(reason)
        put("\r\n")
    }

    private mutating func putStatus(_ status: UInt16) {
        guard status >= 100, status <= 599 else {
            wellFormed = false
            return
        }
        put("HTTP/1.1 ")
        putDecimal(UInt64(status))
        put(" ")
    }

    // MARK: Fields

    /// The fields of a parsed section but those of a mask, most often the section's `hopByHop`.
    ///
    /// Neighbours that came in the form they are written in are copied in one piece. Fields that a plugin put into the
    /// section's storage are known by their views, which lie outside the parsed bytes, and are checked.
    public mutating func appendFields(_ section: FieldSection, except mask: FieldMask) {
        var index = 0
        while index < section.count {
            defer { index &+= 1 }
            if mask.contains(index) { continue }
            let field = section[index]
            guard section.holds(field) else {
                appendField(field)
                continue
            }
            guard var runEnd = Self.canonicalEnd(field) else {
                putField(field)
                continue
            }
            while index &+ 1 < section.count, !mask.contains(index &+ 1) {
                let next = section[index &+ 1]
                guard next.name.data == runEnd, section.holds(next), let end = Self.canonicalEnd(next) else { break }
                runEnd = end
                index &+= 1
            }
            let runStart = field.name.data.unsafelyUnwrapped
            put(runStart, runEnd - runStart)
        }
    }

    /// The end of a parsed field's line, if that reads `name: value` CRLF to the byte.
    @inline(__always)
    private static func canonicalEnd(_ field: sluice_field) -> UnsafePointer<UInt8>? {
        let nameEnd = field.name.data.unsafelyUnwrapped + field.name.size
        let value = field.value.data.unsafelyUnwrapped
        let valueEnd = value + field.value.size
        return value - nameEnd == 2 && nameEnd[1] == ASCII.space && load16(valueEnd) == 0x0A0D ? valueEnd + 2 : nil
    }

    /// A field that a plugin or the gateway made. Fields of framing and of the connection are left out: the gateway
    /// alone writes those.
    public mutating func appendField(_ field: sluice_field) {
        if isHopByHopOrFraming(field.name) { return }
        guard field.name.size > 0, consists(field.name, of: ByteClass.token),
            consists(field.value, of: ByteClass.value)
        else {
            wellFormed = false
            return
        }
        putField(field)
    }

    /// A field that is written in the source, such as `Date`; the value is checked, any name is allowed.
    public mutating func appendField(_ name: StaticString, _ value: sluice_bytes) {
        guard consists(value, of: ByteClass.value) else {
            wellFormed = false
            return
        }
        put(name.bytes)
        put(": ")
        put(value)
        put("\r\n")
    }

    /// A line that the gateway keeps ready, `Name: value` and its end; not checked.
    public mutating func appendLine(_ line: sluice_bytes) { put(line) }

    /// `Connection: close` or, for clients of HTTP/1.0, `Connection: keep-alive`.
    public mutating func appendConnection(close: Bool) {
        if close { put("Connection: close\r\n") } else { put("Connection: keep-alive\r\n") }
    }

    /// Asks, or agrees, to speak WebSocket on this connection from here on (RFC 6455 §4), or says in a 426 that it is
    /// what a client has to ask for (RFC 9110 §15.5.22).
    ///
    /// - Parameter close: of a 426, this connection ends, and the client asks on another one.
    public mutating func appendUpgradeToWebSocket(close: Bool = false) {
        put("Connection: Upgrade")
        if close { put(", close") }
        put("\r\nUpgrade: websocket\r\n")
    }

    /// The framing fields of a body; nothing for `.none` and `.untilClose`.
    public mutating func appendFraming(_ body: BodyFraming) {
        switch body {
        case .none, .untilClose: break
        case .chunked: put("Transfer-Encoding: chunked\r\n")
        case .length(let length):
            put("Content-Length: ")
            putDecimal(length)
            put("\r\n")
        }
    }

    @inline(__always)
    private mutating func putField(_ field: sluice_field) {
        put(field.name)
        put(": ")
        put(field.value)
        put("\r\n")
    }

    /// Whether a plugin may set a field to this value: a token and a field value, and not one that frames the message
    /// or belongs to the connection.
    public static func mayBeSet(name: sluice_bytes, value: sluice_bytes) -> Bool {
        let writer = HeadWriter(UnsafeMutablePointer(mutating: ByteClass.table), capacity: 0)
        return name.size > 0 && !isHopByHopOrFraming(name) && writer.consists(name, of: ByteClass.token)
            && writer.consists(value, of: ByteClass.value)
    }

    /// Whether a plugin may give a request this Host, its only one (RFC 9112 §3.2): what HeadParser takes for one.
    public static func mayBeHost(_ value: sluice_bytes) -> Bool { isAuthority(value, ByteClass.table) }

    /// Whether only the gateway writes fields of this name, so that a plugin's is left out.
    public static func isOwnField(_ name: sluice_bytes) -> Bool { isHopByHopOrFraming(name) }

    // MARK: Bytes

    /// Most requests from parts are inferences, which are made by POST.
    @inline(__always)
    private func isMethod(_ method: sluice_bytes) -> Bool {
        if method.size == 4, let data = method.data, load32(data) == load32(("POST" as StaticString).utf8Start) {
            return true
        }
        return method.size > 0 && consists(method, of: ByteClass.token)
    }

    private func consists(_ bytes: sluice_bytes, of bit: UInt8) -> Bool {
        guard let data = bytes.data else { return bytes.size == 0 }
        return skip(data, data + bytes.size, classes, bit) == data + bytes.size
    }

    /// The same for a path, most of whose bytes are letters, digits, slashes and colons.
    private func consistsOfPath(_ bytes: sluice_bytes) -> Bool {
        guard let data = bytes.data else { return bytes.size == 0 }
        let end = data + bytes.size
        return skip(
            data, end, classes, ByteClass.path, commonFrom: UInt8(ascii: "-"), through: UInt8(ascii: ":")) == end
    }

    @inline(__always)
    private mutating func put(_ text: StaticString) {
        put(text.utf8Start, text.utf8CodeUnitCount)
    }

    @inline(__always)
    private mutating func put(_ bytes: sluice_bytes) {
        if let data = bytes.data { put(data, bytes.size) }
    }

    @inline(__always)
    private mutating func put(_ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard count <= end - cursor else {
            // Nothing smaller may be written behind the gap either.
            fits = false
            end = cursor
            return
        }
        memcpy(cursor, bytes, count)
        cursor += count
    }

    private mutating func putDecimal(_ number: UInt64) {
        // Most numbers here have two to four digits: a status, the length of a small body.
        if number < 10_000, number >= 10, end - cursor >= 4 {
            let small = UInt32(truncatingIfNeeded: number)
            let hundreds = small / 100
            if hundreds > 0 {
                if hundreds >= 10 { putDigit(hundreds / 10) }
                putDigit(hundreds % 10)
            }
            putDigit(small % 100 / 10)
            putDigit(small % 10)
            return
        }
        var digits = 1
        var left = number
        while left >= 100 {
            digits &+= 2
            left /= 100
        }
        if left >= 10 { digits &+= 1 }
        guard digits <= end - cursor else {
            fits = false
            end = cursor
            return
        }
        var rest = number
        var place = cursor + digits
        while place > cursor {
            place -= 1
            let quotient = rest / 10
            place[0] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest &- quotient &* 10)
            rest = quotient
        }
        cursor += digits
    }

    @inline(__always)
    private mutating func putDigit(_ digit: UInt32) {
        cursor[0] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit)
        cursor += 1
    }
}

extension FieldSection {
    /// Whether a field is as it was parsed, and not one that a plugin put in its place.
    public func parsed(_ field: sluice_field) -> Bool { holds(field) }

    /// Whether a field's views are of the parsed bytes, name before value, so that it is as well-formed as they were.
    @inline(__always)
    func holds(_ field: sluice_field) -> Bool {
        guard let name = field.name.data, let value = field.value.data else { return false }
        return name >= start && name + field.name.size < value && value + (field.value.size &+ 2) <= end
    }
}

/// Whether only the gateway may write a field of this name: it frames the message or belongs to one connection.
func isHopByHopOrFraming(_ name: sluice_bytes) -> Bool {
    switch name.size {
    case 2: name.equalsIgnoringCase("te")
    case 7: name.equalsIgnoringCase("upgrade")
    case 10: name.equalsIgnoringCase("connection") || name.equalsIgnoringCase("keep-alive")
    case 14: name.equalsIgnoringCase("content-length") || name.equalsIgnoringCase("http2-settings")
    case 16: name.equalsIgnoringCase("proxy-connection")
    case 17: name.equalsIgnoringCase("transfer-encoding")
    default: false
    }
}
