import Glibc

/// What one line of a field section turned out to be.
enum FieldLine {
    case field
    /// The empty line.
    case endOfSection
    /// The bytes end before the line does.
    case incomplete
    /// Not to be believed before the line's LF has been seen; see `HeadParser.settle`.
    case broken(ParseFault)
}

/// Reads one line at `cursor` strictly (RFC 9112 §5): token, colon at once, a value without controls, CRLF. On
/// `.field` and `.endOfSection` the cursor is behind the line, on other outcomes where the trouble is.
@inline(__always)
func scanFieldLine(
    _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ classes: UnsafePointer<UInt8>,
    _ field: inout sluice_field
) -> FieldLine {
    let nameStart = cursor
    let nameEnd = skip(
        nameStart, end, classes, ByteClass.token, commonFrom: UInt8(ascii: "-"), through: UInt8(ascii: "-"))
    cursor = nameEnd
    guard nameEnd < end else { return .incomplete }
    guard nameEnd[0] == ASCII.colon, nameEnd > nameStart else {
        return notAField(&cursor, lineStart: nameStart, end: end)
    }
    var valueStart = nameEnd + 1
    if end - nameEnd > 2, nameEnd[1] == ASCII.space, nameEnd[2] > ASCII.space {
        // What nearly every sender does.
        valueStart = nameEnd + 2
    } else {
        while valueStart < end, valueStart[0] == ASCII.space || valueStart[0] == ASCII.tab { valueStart += 1 }
    }
    cursor = skipValue(valueStart, end, classes)
    guard end - cursor >= 2 else {
        return cursor < end && cursor[0] != ASCII.carriageReturn ? badValueByte(cursor[0]) : .incomplete
    }
    guard load16(cursor) == 0x0A0D else { return badValueByte(cursor[0]) }
    var valueEnd = cursor
    while valueEnd > valueStart, valueEnd[-1] == ASCII.space || valueEnd[-1] == ASCII.tab { valueEnd -= 1 }
    field = sluice_field(name: sluice_bytes(nameStart, nameEnd), value: sluice_bytes(valueStart, valueEnd))
    cursor += 2
    return .field
}

/// Moves over the bytes that a value may have, eight at a time.
///
/// Per byte: bit 7 of `w - 0x20` is set for controls, that of `w + 1` for DEL, and `~w` takes out bytes beyond ASCII.
/// A borrow or carry can only come from a byte that is itself a hit or 0xFF; it never hides a hit, and a false one is
/// found out by the table.
@inline(__always)
private func skipValue(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ classes: UnsafePointer<UInt8>
) -> UnsafePointer<UInt8> {
    var cursor = start
    let lastWord = end - 8
    while cursor <= lastWord {
        let word = load64(cursor)
        let suspects =
            ((word &- 0x2020_2020_2020_2020) | (word &+ 0x0101_0101_0101_0101)) & ~word & 0x8080_8080_8080_8080
        if suspects == 0 {
            cursor += 8
            continue
        }
        cursor += suspects.trailingZeroBitCount &>> 3
        if classes[Int(cursor[0])] & ByteClass.value == 0 { return cursor }
        cursor += 1
    }
    while cursor < end, classes[Int(cursor[0])] & ByteClass.value != 0 { cursor += 1 }
    return cursor
}

@inline(never)
private func badValueByte(_ byte: UInt8) -> FieldLine {
    switch byte {
    case ASCII.carriageReturn: .broken(.bareCarriageReturn)
    case ASCII.lineFeed: .broken(.bareLineFeed)
    default: .broken(.badFieldValue)
    }
}

/// What a line is that does not begin with a token and a colon.
@inline(never)
private func notAField(
    _ cursor: inout UnsafePointer<UInt8>, lineStart: UnsafePointer<UInt8>, end: UnsafePointer<UInt8>
) -> FieldLine {
    let atStart = cursor == lineStart
    switch cursor[0] {
    case ASCII.carriageReturn:
        guard end - cursor >= 2 else { return .incomplete }
        guard cursor[1] == ASCII.lineFeed else { return .broken(.bareCarriageReturn) }
        guard atStart else { return .broken(.missingColon) }
        cursor += 2
        return .endOfSection
    case ASCII.lineFeed: return .broken(atStart ? .bareLineFeed : .missingColon)
    case ASCII.space, ASCII.tab: return .broken(atStart ? .foldedField : .spaceBeforeColon)
    case ASCII.colon: return .broken(.emptyFieldName)
    default: return .broken(.badFieldName)
    }
}

/// The same for a caller that is not on the way of every request.
@inline(never)
func scanFieldLineOutOfLine(
    _ cursor: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ classes: UnsafePointer<UInt8>,
    _ field: inout sluice_field
) -> FieldLine {
    scanFieldLine(&cursor, end, classes, &field)
}

/// Whether there is an LF from `start` to `end`.
@inline(__always)
func hasLineFeed(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> Bool {
    start < end && memchr(start, Int32(ASCII.lineFeed), end - start) != nil
}
