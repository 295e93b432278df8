extension FieldSection {
    /// The framing that Content-Length and Transfer-Encoding say, `.none` if neither is there (RFC 9112 §6).
    ///
    /// Stricter than it must be: equal repeats of Content-Length, which a recipient may fold into one, are refused,
    /// since no honest sender makes them and hops disagree on them.
    @inline(__always)
    func framing(minorVersion: UInt8, _ framing: inout BodyFraming) -> ParseFault? {
        framing = .none
        if contentLength & transferEncoding == -1 { return nil }
        return declaredFraming(minorVersion: minorVersion, &framing)
    }

    @inline(never)
    private func declaredFraming(minorVersion: UInt8, _ framing: inout BodyFraming) -> ParseFault? {
        if let codings = value(transferEncoding) {
            if contentLength >= 0 { return .lengthAndTransferEncoding }
            if minorVersion == 0 { return .transferEncodingInHTTP10 }
            if repeats.contains(.transferEncoding) { return .repeatedTransferEncoding }
            if let fault = refuseCodings(codings) { return fault }
            framing = .chunked
            return nil
        }
        guard let digits = value(contentLength), let start = digits.data else { return nil }
        if repeats.contains(.contentLength) { return .repeatedContentLength }
        guard digits.size > 0 else { return .badContentLength }
        var length: UInt64 = 0
        var overflow = false
        for index in 0..<digits.size {
            let digit = start[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return .badContentLength }
            // Up to Int.max, so that no sum or conversion later on can overflow unseen. 18 digits never reach it.
            if index >= 18, length > (UInt64(Int.max) - UInt64(digit)) / 10 {
                overflow = true
            } else {
                length = length &* 10 &+ UInt64(digit)
            }
        }
        if overflow { return .contentLengthTooLarge }
        framing = .length(length)
        return nil
    }

    /// Nil if the codings are just `chunked`. Another known shape of coding is answered with 501 (RFC 9112 §6.1), what
    /// is no list of tokens or has `chunked` elsewhere than once at the end with 400 (§6.3).
    private func refuseCodings(_ codings: sluice_bytes) -> ParseFault? {
        if codings.equalsIgnoringCase("chunked") { return nil }
        var chunked = 0
        var last = false
        var any = false
        var list = TokenList(codings)
        while let coding = list.next() {
            any = true
            last = coding.equalsIgnoringCase("chunked")
            if last { chunked += 1 }
        }
        if list.malformed || !any || chunked > 1 || (chunked == 1 && !last) { return .badTransferEncoding }
        // `, chunked`: one member, yet not the one form that every hop reads alike.
        return chunked == 1 && list.members == 1 ? .badTransferEncoding : .codingNotSupported
    }
}

/// The tokens of a comma-separated list (RFC 9110 §5.6.1), empty members left out.
struct TokenList {
    private var cursor: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    /// Set when a member is not a token; then `next` has returned nil.
    private(set) var malformed = false
    private(set) var members = 0

    init(_ value: sluice_bytes) {
        cursor = value.data ?? ByteClass.table
        end = cursor + (value.data == nil ? 0 : value.size)
    }

    mutating func next() -> sluice_bytes? {
        let classes = ByteClass.table
        while cursor < end, cursor[0] == ASCII.space || cursor[0] == ASCII.tab || cursor[0] == UInt8(ascii: ",") {
            cursor += 1
        }
        guard cursor < end else { return nil }
        let start = cursor
        cursor = skip(start, end, classes, ByteClass.token)
        let tokenEnd = cursor
        while cursor < end, cursor[0] == ASCII.space || cursor[0] == ASCII.tab { cursor += 1 }
        guard tokenEnd > start, cursor == end || cursor[0] == UInt8(ascii: ",") else {
            malformed = true
            return nil
        }
        members += 1
        return sluice_bytes(start, tokenEnd)
    }
}

extension sluice_bytes {
    /// Whether one member of a comma-separated list is `text`, which must be lower-case ASCII. Members may be other
    /// than tokens, such as a protocol with its version.
    func hasMember(_ text: StaticString) -> Bool {
        guard let data else { return false }
        let end = data + size
        var cursor = data
        while cursor < end {
            while cursor < end, cursor[0] == ASCII.space || cursor[0] == ASCII.tab { cursor += 1 }
            let start = cursor
            while cursor < end, cursor[0] != UInt8(ascii: ",") { cursor += 1 }
            var memberEnd = cursor
            while memberEnd > start, memberEnd[-1] == ASCII.space || memberEnd[-1] == ASCII.tab { memberEnd -= 1 }
            if sluice_bytes(start, memberEnd).equalsIgnoringCase(text) { return true }
            if cursor < end { cursor += 1 }
        }
        return false
    }
}
