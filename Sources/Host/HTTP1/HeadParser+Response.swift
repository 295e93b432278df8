extension HeadParser {
    /// A status line's reason, at most; reasons are for people and RFC 9112 §4 lets clients ignore them.
    static let reasonBytes = 1024

    /// Parses a response head at the start of `bytes`. No empty line may stand before it: RFC 9112 §2.2 grants that
    /// to requests alone, and bytes that nobody asked for on a backend's connection are a sign of lost framing.
    ///
    /// - Parameters:
    ///   - bytes: What was received from the start of the message on. More than the head is fine.
    ///   - fields: Storage for `limits.fieldCount` fields; the head refers to it.
    ///   - requestWasHead: The response to HEAD has no content, whatever its fields say.
    ///   - allowsUpgrade: Whether the request asked to switch protocols; if not, a 101 is refused.
    ///   - head: Holds the response on `.complete`, and nothing of meaning otherwise.
    ///   - progress: Fresh for each message, then handed back as it was.
    public func parseResponse(
        _ bytes: UnsafePointer<UInt8>, count: Int, fields: UnsafeMutablePointer<sluice_field>,
        requestWasHead: Bool, allowsUpgrade: Bool = false,
        into head: inout ResponseHead, progress: inout HeadProgress
    ) -> ParseOutcome {
        var cursor = bytes
        let window = Window(bytes, bytes + count, limit: limits.headerBytes)
        let lineWindow = Window(bytes, window.end, limit: Self.reasonBytes)
        if progress.scanned != 0 {
            let outcome = resume(bytes, progress.lineStart == 0 ? lineWindow : window, &progress)
            guard outcome == .complete else { return outcome }
        }
        var fault: ParseFault?
        guard parseStatusLine(&cursor, lineWindow.end, &head, &fault) else {
            progress.scanned = UInt32(truncatingIfNeeded: lineWindow.end - bytes)
            return settle(fault, lineStart: bytes, lineWindow.limited ? lineWindow : window, oversize: .headTooLarge)
        }
        var section = FieldSection(storage: fields, start: bytes)
        let outcome = scanFields(&cursor, window, &section, bytes, &progress)
        guard outcome == .complete else { return outcome }
        head.headSize = cursor - bytes
        if head.status == 101, !allowsUpgrade { return .failed(.unexpectedUpgrade) }
        if let fault = finishResponse(&head, &section, requestWasHead: requestWasHead) { return .failed(fault) }
        head.fields = section
        return .complete
    }

    /// Reads `HTTP/1.x SP status SP reason CRLF`. The space before an empty reason may be missing, as several servers
    /// leave it out and nothing else can be meant. False if the line is not whole (no fault) or broken.
    @inline(__always)
    private func parseStatusLine(
        _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ head: inout ResponseHead,
        _ fault: inout ParseFault?
    ) -> Bool {
        if end - cursor >= 8, load64(cursor) == load64(("HTTP/1.1" as StaticString).utf8Start) {
            head.minorVersion = 1
            cursor += 8
        } else {
            guard let version = Self.version(&cursor, end, &fault) else { return false }
            head.minorVersion = version
        }
        guard end - cursor >= 5 else {
            fault = .badStatusLine
            return false
        }
        let hundreds = UInt16(cursor[1] &- UInt8(ascii: "0"))
        let tens = UInt16(cursor[2] &- UInt8(ascii: "0"))
        let ones = UInt16(cursor[3] &- UInt8(ascii: "0"))
        guard cursor[0] == ASCII.space, hundreds <= 9, tens <= 9, ones <= 9,
            cursor[4] == ASCII.space || cursor[4] == ASCII.carriageReturn
        else {
            fault = .badStatusLine
            return false
        }
        head.status = hundreds &* 100 &+ tens &* 10 &+ ones
        cursor += 4
        if cursor[0] == ASCII.space { cursor += 1 }
        let reasonStart = cursor
        cursor = skip(cursor, end, classes, ByteClass.value)
        guard cursor < end else { return false }
        guard cursor[0] == ASCII.carriageReturn else {
            fault = cursor[0] == ASCII.lineFeed ? .bareLineFeed : .badStatusLine
            return false
        }
        guard end - cursor >= 2 else { return false }
        guard cursor[1] == ASCII.lineFeed else {
            fault = .bareCarriageReturn
            return false
        }
        guard head.status >= 100, head.status <= 599 else {
            fault = .badStatus
            return false
        }
        head.reason = sluice_bytes(reasonStart, cursor)
        cursor += 2
        return true
    }

    /// What can be judged once all fields are known: framing by RFC 9112 §6.3, and whether the connection lives on.
    @inline(__always)
    private func finishResponse(
        _ head: inout ResponseHead, _ section: inout FieldSection, requestWasHead: Bool
    ) -> ParseFault? {
        if let fault = section.framing(minorVersion: head.minorVersion, &head.declared) { return fault }
        var options: ConnectionOptions = []
        if section.connection >= 0, let fault = section.readConnection(&options) { return fault }
        head.keepAlive = section.keepsAlive(options, minorVersion: head.minorVersion)
        if head.status == 101 { head.upgrade = head.minorVersion > 0 ? section.upgrade(options) : .none }
        if head.status < 200 || head.status == 204 {
            // RFC 9112 §6.1 and RFC 9110 §8.6: a server must not announce content here. Some servers say a length of
            // 0, which is harmless; after anything else nobody can know whether content follows. None does to HEAD.
            head.body = .none
            if head.declared != .none, head.declared != .length(0), !requestWasHead { head.keepAlive = false }
            head.declared = .none
        } else if requestWasHead || head.status == 304 {
            head.body = .none
        } else if head.declared == .none {
            head.body = .untilClose
            head.keepAlive = false
        } else {
            head.body = head.declared
        }
        return nil
    }
}
