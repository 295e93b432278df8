/// How large a message head may be.
public struct HeadLimits: Sendable {
    /// Bytes of request or status line and fields with their line ends, at most.
    public var headerBytes: Int
    /// Fields, at most; 1 to 128, as many as a `FieldMask` has bits.
    public var fieldCount: Int
    /// Bytes of the request target, at most.
    public var targetBytes: Int

    /// The defaults are those that clients have come to rely on: 16 KiB of head and 100 fields as in Apache and Node,
    /// 8 KiB of target as RFC 9112 §3 recommends at least 8000.
    public init(headerBytes: Int = 16 * 1024, fieldCount: Int = 100, targetBytes: Int = 8 * 1024) {
        self.headerBytes = min(max(headerBytes, 64), 1 << 24)
        self.fieldCount = min(max(fieldCount, 1), 128)
        self.targetBytes = min(max(targetBytes, 1), 1 << 24)
    }
}

/// How far the parser got with a head that is not whole; the caller keeps it with the bytes.
///
/// It holds offsets, not pointers, so the bytes may move between calls. Begin each message with a fresh one.
public struct HeadProgress: Sendable, Equatable {
    /// Where the first line begins that is not whole. All before it is in order.
    var lineStart: UInt32 = 0
    /// How far the search for that line's end went; 0 before the first call.
    var scanned: UInt32 = 0
    /// Fields in the lines before `lineStart`.
    var fieldCount: UInt32 = 0

    public init() {}
}

/// Strict parser of HTTP/1.1 message heads (RFC 9112): request and status line, fields, framing.
///
/// Pure: bytes in, views out, nothing allocated. A line is judged when its LF is there and never before, so the
/// outcome does not depend on how the bytes were cut into reads. A head that arrives whole is read once; one that
/// comes in pieces has each byte looked at no more than three times, however small the pieces are.
public struct HeadParser {
    public let limits: HeadLimits
    let classes: UnsafePointer<UInt8>

    /// Empty lines before a request line that are ignored (RFC 9112 §2.2 asks for one at least). Old clients send one
    /// after a body; more than two are no client's habit.
    static let emptyLines = 2

    /// A method may be as long. The longest registered one, UPDATEREDIRECTREF, has 17 letters.
    static let methodBytes = 32

    /// ` ` ` HTTP/1.1` CRLF.
    static let versionBytes = 12

    public init(limits: HeadLimits = HeadLimits()) {
        self.limits = limits
        classes = ByteClass.table
    }

    /// The end of what may belong to a head, and whether that is by limit rather than by lack of bytes.
    struct Window {
        let start: UnsafePointer<UInt8>
        let end: UnsafePointer<UInt8>
        let limited: Bool

        @inline(__always)
        init(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, limit: Int) {
            limited = end - start >= limit
            self.start = start
            self.end = limited ? start + limit : end
        }
    }

    /// The verdict on a line that is broken or not whole: judged only if its LF is there, refused if there is no room
    /// left for one, and otherwise waited for.
    @inline(never)
    func settle(
        _ fault: ParseFault?, lineStart: UnsafePointer<UInt8>, _ window: Window, oversize: ParseFault
    ) -> ParseOutcome {
        if let fault, hasLineFeed(lineStart, window.end) { return .failed(fault) }
        return window.limited ? .failed(oversize) : .needMore
    }

    /// Reads all field lines. On `.needMore` the progress says where to go on.
    @inline(__always)
    func scanFields(
        _ cursor: inout UnsafePointer<UInt8>, _ window: Window, _ section: inout FieldSection,
        _ bytes: UnsafePointer<UInt8>, _ progress: inout HeadProgress
    ) -> ParseOutcome {
        while true {
            let lineStart = cursor
            var field = sluice_field()
            switch scanFieldLine(&cursor, window.end, classes, &field) {
            case .field:
                guard section.count < limits.fieldCount else { return .failed(.tooManyFields) }
                section.base[section.count] = field
                section.recognise(field.name.data.unsafelyUnwrapped, field.name.size)
                section.count &+= 1
            case .endOfSection:
                section.end = cursor
                return .complete
            case .incomplete:
                return pause(nil, lineStart, window, section.count, bytes, &progress)
            case .broken(let fault):
                return pause(fault, lineStart, window, section.count, bytes, &progress)
            }
        }
    }

    @inline(never)
    private func pause(
        _ fault: ParseFault?, _ lineStart: UnsafePointer<UInt8>, _ window: Window, _ fieldCount: Int,
        _ bytes: UnsafePointer<UInt8>, _ progress: inout HeadProgress
    ) -> ParseOutcome {
        progress.lineStart = UInt32(truncatingIfNeeded: lineStart - bytes)
        progress.scanned = UInt32(truncatingIfNeeded: window.end - bytes)
        progress.fieldCount = UInt32(truncatingIfNeeded: fieldCount)
        return settle(fault, lineStart: lineStart, window, oversize: .headTooLarge)
    }

    /// Goes on with a head that was not whole: judges the lines that became whole since, and says whether the head
    /// is now there to be parsed in one go (`.complete`, then the progress is back at the start).
    @inline(never)
    func resume(_ bytes: UnsafePointer<UInt8>, _ window: Window, _ progress: inout HeadProgress) -> ParseOutcome {
        let scanned = bytes + Int(progress.scanned)
        guard window.limited || hasLineFeed(scanned, window.end) else {
            if window.end > scanned { progress.scanned = UInt32(truncatingIfNeeded: window.end - bytes) }
            return .needMore
        }
        var cursor = bytes + Int(progress.lineStart)
        var fieldCount = Int(progress.fieldCount)
        // The first line has no state worth keeping: parse from the start.
        while progress.lineStart > 0 {
            let lineStart = cursor
            var field = sluice_field()
            switch scanFieldLineOutOfLine(&cursor, window.end, classes, &field) {
            case .field:
                guard fieldCount < limits.fieldCount else { return .failed(.tooManyFields) }
                fieldCount += 1
                continue
            case .endOfSection:
                break
            case .incomplete:
                return pause(nil, lineStart, window, fieldCount, bytes, &progress)
            case .broken(let fault):
                return pause(fault, lineStart, window, fieldCount, bytes, &progress)
            }
            break
        }
        progress = HeadProgress()
        return .complete
    }
}
