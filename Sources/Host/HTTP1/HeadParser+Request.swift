extension HeadParser {
    /// Parses a request head at the start of `bytes`.
    ///
    /// - Parameters:
    ///   - bytes: What was received from the start of the message on. More than the head is fine.
    ///   - fields: Storage for `limits.fieldCount` fields; the head refers to it.
    ///   - head: Holds the request on `.complete`, and nothing of meaning otherwise.
    ///   - progress: Fresh for each message, then handed back as it was.
    public func parseRequest(
        _ bytes: UnsafePointer<UInt8>, count: Int, fields: UnsafeMutablePointer<sluice_field>,
        into head: inout RequestHead, progress: inout HeadProgress
    ) -> ParseOutcome {
        var cursor = bytes
        let end = bytes + count
        if let first = skipEmptyLines(&cursor, end) { return first }
        let window = Window(cursor, end, limit: limits.headerBytes)
        let start = cursor
        let lineWindow = Window(start, window.end, limit: limits.targetBytes + Self.methodBytes + Self.versionBytes)
        if progress.scanned != 0 {
            let outcome = resume(
                bytes, progress.lineStart == 0 && lineWindow.limited ? lineWindow : window, &progress)
            guard outcome == .complete else { return outcome }
        }

        var fault: ParseFault?
        guard parseRequestLine(&cursor, lineWindow.end, &head, &fault) else {
            progress.scanned = UInt32(truncatingIfNeeded: lineWindow.end - bytes)
            let oversize: ParseFault = window.limited && !lineWindow.limited ? .headTooLarge : .targetTooLong
            return settle(fault, lineStart: start, lineWindow.limited ? lineWindow : window, oversize: oversize)
        }

        var section = FieldSection(storage: fields, start: start)
        let outcome = scanFields(&cursor, window, &section, bytes, &progress)
        guard outcome == .complete else { return outcome }
        head.headSize = cursor - bytes
        if let fault = finishRequest(&head, &section) { return .failed(fault) }
        head.fields = section
        return .complete
    }

    /// Moves over the empty lines that a robust server ignores before a request (RFC 9112 §2.2).
    @inline(__always)
    private func skipEmptyLines(
        _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> ParseOutcome? {
        var seen = 0
        while true {
            guard cursor < end else { return .needMore }
            if cursor[0] > ASCII.carriageReturn { return nil }
            if cursor[0] == ASCII.lineFeed { return .failed(.bareLineFeed) }
            guard cursor[0] == ASCII.carriageReturn else { return nil }
            guard end - cursor >= 2 else { return .needMore }
            guard cursor[1] == ASCII.lineFeed else { return .failed(.bareCarriageReturn) }
            guard seen < Self.emptyLines else { return .failed(.tooManyEmptyLines) }
            seen += 1
            cursor += 2
        }
    }

    /// Reads `method SP target SP HTTP/1.x CRLF`. False if the line is not whole (no fault) or broken.
    @inline(__always)
    private func parseRequestLine(
        _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ head: inout RequestHead,
        _ fault: inout ParseFault?
    ) -> Bool {
        let methodStart = cursor
        let methodEnd: UnsafePointer<UInt8>
        if end - cursor >= 5, load32(cursor) == load32(("GET " as StaticString).utf8Start) {
            methodEnd = cursor + 3
            head.methodKind = .get
        } else if end - cursor >= 5, load32(cursor) == load32(("POST" as StaticString).utf8Start),
            cursor[4] == ASCII.space
        {
            methodEnd = cursor + 4
            head.methodKind = .post
        } else {
            methodEnd = skip(cursor, end, classes, ByteClass.token)
            guard methodEnd < end else { return false }
            guard methodEnd[0] == ASCII.space, methodEnd > methodStart else {
                fault = .badMethod
                return false
            }
            head.methodKind = Self.method(methodStart, methodEnd - methodStart)
        }
        head.method = sluice_bytes(methodStart, methodEnd)

        let targetStart = methodEnd + 1
        cursor = skip(
            targetStart, end, classes, ByteClass.path, commonFrom: UInt8(ascii: "-"), through: UInt8(ascii: ":"))
        guard cursor < end else { return false }
        head.path = sluice_bytes(targetStart, cursor)
        head.query = sluice_bytes()
        if cursor[0] == UInt8(ascii: "?") {
            let queryStart = cursor + 1
            cursor = skip(queryStart, end, classes, ByteClass.query)
            guard cursor < end else { return false }
            head.query = sluice_bytes(queryStart, cursor)
        }
        head.target = sluice_bytes(targetStart, cursor)

        // "HTTP/1.1" CRLF, compared as a word and a half.
        if cursor[0] == ASCII.space, end - cursor >= 11, targetStart[0] == ASCII.slash,
            load64(cursor + 1) == load64(("HTTP/1.1" as StaticString).utf8Start), load16(cursor + 9) == 0x0A0D,
            head.methodKind != .connect, cursor - targetStart <= limits.targetBytes,
            methodEnd - methodStart <= Self.methodBytes
        {
            head.authority = sluice_bytes()
            head.minorVersion = 1
            cursor += 11
            return true
        }
        return finishUnusualLine(&cursor, end, &head, &fault)
    }

    @inline(__always)
    private static func method(_ name: UnsafePointer<UInt8>, _ size: Int) -> Method {
        switch size {
        case 3:
            if load16(name) == 0x4547, name[2] == UInt8(ascii: "T") { return .get }
            if load16(name) == 0x5550, name[2] == UInt8(ascii: "T") { return .put }
        case 4:
            if load32(name) == load32(("POST" as StaticString).utf8Start) { return .post }
            if load32(name) == load32(("HEAD" as StaticString).utf8Start) { return .head }
        case 5:
            let rest = load32(name + 1)
            if name[0] == UInt8(ascii: "P"), rest == load32(("ATCH" as StaticString).utf8Start) { return .patch }
            if name[0] == UInt8(ascii: "T"), rest == load32(("RACE" as StaticString).utf8Start) { return .trace }
        case 6:
            if load32(name) == load32(("DELE" as StaticString).utf8Start), load16(name + 4) == 0x4554 {
                return .delete
            }
        case 7:
            let (front, back) = (load32(name), load32(name + 3))
            if front == load32(("OPTI" as StaticString).utf8Start), back == load32(("IONS" as StaticString).utf8Start) {
                return .options
            }
            if front == load32(("CONN" as StaticString).utf8Start), back == load32(("NECT" as StaticString).utf8Start) {
                return .connect
            }
        default: break
        }
        return .other
    }

    /// All request lines but an origin-form one of HTTP/1.1 that fits: other forms, other versions, and all faults.
    @inline(never)
    private func finishUnusualLine(
        _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ head: inout RequestHead,
        _ fault: inout ParseFault?
    ) -> Bool {
        guard head.method.size <= Self.methodBytes else {
            fault = .methodTooLong
            return false
        }
        guard head.target.size <= limits.targetBytes else {
            fault = .targetTooLong
            return false
        }
        guard cursor[0] == ASCII.space else {
            // HTTP/0.9 ends the line here.
            let endOfLine = cursor[0] == ASCII.carriageReturn || cursor[0] == ASCII.lineFeed
            fault = endOfLine ? .badRequestLine : .badTarget
            return false
        }
        cursor += 1
        guard let version = Self.version(&cursor, end, &fault) else { return false }
        guard cursor < end else { return false }
        switch cursor[0] {
        case ASCII.carriageReturn:
            guard end - cursor >= 2 else { return false }
            guard cursor[1] == ASCII.lineFeed else {
                fault = .bareCarriageReturn
                return false
            }
        case ASCII.lineFeed:
            fault = .bareLineFeed
            return false
        default:
            fault = .badRequestLine
            return false
        }
        cursor += 2
        head.minorVersion = version
        head.authority = sluice_bytes()
        fault = Self.resolveTarget(&head)
        return fault == nil
    }

    /// Reads an `HTTP-version` and returns its minor part, 0 or 1. Without a fault, bytes are missing.
    static func version(
        _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ fault: inout ParseFault?
    ) -> UInt8? {
        guard end - cursor >= 8 else {
            // A shorter line is broken; if its end is not there yet, `settle` waits for it.
            fault = .badVersion
            return nil
        }
        let prefix: StaticString = "HTTP/"
        for index in 0..<5 where cursor[index] != prefix.utf8Start[index] {
            fault = .badVersion
            return nil
        }
        let major = cursor[5] &- UInt8(ascii: "0")
        let minor = cursor[7] &- UInt8(ascii: "0")
        guard major <= 9, minor <= 9, cursor[6] == UInt8(ascii: "."), major > 0 else {
            fault = .badVersion
            return nil
        }
        guard major == 1 else {
            fault = .versionNotSupported
            return nil
        }
        cursor += 8
        return min(minor, 1)
    }

    /// Tells the four forms of a target apart (RFC 9112 §3.2) and sets path and authority.
    private static func resolveTarget(_ head: inout RequestHead) -> ParseFault? {
        // A gateway stands in for an origin server; a tunnel through it would go round all its policy.
        if head.methodKind == .connect { return .connectNotSupported }
        guard head.target.size > 0, let start = head.target.data else { return .badRequestLine }
        if start[0] == ASCII.slash { return nil }
        if head.target.size == 1, start[0] == UInt8(ascii: "*") {
            return head.methodKind == .options ? nil : .asteriskNotOptions
        }

        // Absolute form: the scheme tells nothing, since TLS may end before us, but must be one of HTTP's.
        let pathEnd = start + head.path.size
        var authorityStart = start
        while authorityStart < pathEnd, authorityStart[0] != ASCII.colon { authorityStart += 1 }
        let scheme = sluice_bytes(start, authorityStart)
        guard scheme.equalsIgnoringCase("http") || scheme.equalsIgnoringCase("https"),
            pathEnd - authorityStart >= 3, authorityStart[1] == ASCII.slash, authorityStart[2] == ASCII.slash
        else { return .badTarget }
        authorityStart += 3
        var authorityEnd = authorityStart
        while authorityEnd < pathEnd, authorityEnd[0] != ASCII.slash { authorityEnd += 1 }
        head.authority = sluice_bytes(authorityStart, authorityEnd)
        guard isAuthority(head.authority, ByteClass.table) else { return .badHost }
        if authorityEnd < pathEnd {
            head.path = sluice_bytes(authorityEnd, pathEnd)
        } else if head.query.data != nil {
            // `http://host?query`: allowed by RFC 3986 and sent by no known client. Its origin form is not among the
            // bytes of the target, and hops differ in whether they add the slash.
            return .badTarget
        } else if head.methodKind == .options {
            // RFC 9112 §3.2.4: OPTIONS of an absolute form without path is about the server.
            head.path = ("*" as StaticString).bytes
        } else {
            head.path = ("/" as StaticString).bytes
        }
        return nil
    }
}
