import SluiceABI

/// The data of server-sent events (HTML Living Standard §9.2.6, "Interpreting an event stream"), in pieces cut
/// anywhere, each event's fed to a scanner as a text of its own.
struct EventStream: BitwiseCopyable {
    private enum State: UInt8 { case mark, lineStart, name, space, data, ignore }

    private var state = State.mark
    /// Bytes of the byte order mark, or of the field name `data`, that were met.
    private var matched = 0
    /// The last byte was a CR: an LF that follows belongs to it.
    private var afterReturn = false
    /// Data of the present event has been fed.
    private var hasData = false
    /// Bytes of the present data line that are those of `[DONE]`; below zero when it is something else.
    private var ending = 0
    /// The event `[DONE]` came, with which streams of completions end.
    private(set) var isDone = false
    /// Events with data before that one.
    private(set) var ended: UInt64 = 0

    private static let mark: StaticString = "\u{FEFF}"
    private static let name: StaticString = "data"
    private static let end: StaticString = "[DONE]"

    mutating func feed(_ text: sluice_bytes, to scanner: inout UsageScanner) {
        guard var cursor = text.data else { return }
        let end = cursor + text.size
        while cursor < end {
            if state == .data || state == .ignore {
                let lineEnd = ByteSearch.first(of: 0x0A, or: 0x0D, cursor, end)
                if state == .data { takeData(sluice_bytes(data: cursor, size: lineEnd - cursor), &scanner) }
                if lineEnd > cursor { afterReturn = false }
                cursor = lineEnd
                if cursor == end { return }
            }
            if take(cursor.pointee, &scanner) { cursor += 1 }
        }
    }

    /// Returns false when the byte is to be looked at again in another state.
    private mutating func take(_ byte: UInt8, _ scanner: inout UsageScanner) -> Bool {
        if byte == 0x0A || byte == 0x0D {
            // CR LF is one end of a line, not two.
            if byte == 0x0D || !afterReturn { endLine(&scanner) }
            afterReturn = byte == 0x0D
            return true
        }
        afterReturn = false
        switch state {
        case .mark:
            guard byte == Self.mark.utf8Start[matched] else {
                state = matched == 0 ? .lineStart : .ignore
                return false
            }
            matched += 1
            if matched == Self.mark.utf8CodeUnitCount { state = .lineStart }
        case .lineStart:
            matched = 0
            state = .name
            return false
        case .name:
            if matched == Self.name.utf8CodeUnitCount {
                state = byte == UInt8(ascii: ":") ? .space : .ignore
            } else if byte == Self.name.utf8Start[matched] {
                matched += 1
            } else {
                state = .ignore
            }
        case .space:
            beginData(&scanner)
            // One space after the colon is no part of the value.
            return byte == 0x20
        case .data, .ignore: break
        }
        return true
    }

    private mutating func beginData(_ scanner: inout UsageScanner) {
        state = .data
        ending = 0
        if hasData { scanner.feed(.literal("\n")) }
        hasData = true
    }

    private mutating func takeData(_ bytes: sluice_bytes, _ scanner: inout UsageScanner) {
        for byte in bytes.buffer.prefix(Self.end.utf8CodeUnitCount + 1) where ending >= 0 {
            let isNext = ending < Self.end.utf8CodeUnitCount && byte == Self.end.utf8Start[ending]
            ending = isNext ? ending + 1 : -1
        }
        scanner.feed(bytes)
    }

    private mutating func endLine(_ scanner: inout UsageScanner) {
        if state == .data, ending == Self.end.utf8CodeUnitCount { isDone = true }
        if state == .lineStart, hasData {
            scanner.restart()
            hasData = false
            if !isDone { ended &+= 1 }
        }
        state = .lineStart
    }
}
