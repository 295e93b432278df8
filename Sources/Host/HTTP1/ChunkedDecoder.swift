/// Takes the chunked transfer coding off a body (RFC 9112 §7.1), strictly: hexadecimal digits, CRLF and nothing else.
///
/// A pure state machine that is pulled: each call looks at the bytes that are there and returns one step, and data is
/// returned where it lies, so that the caller can pass it on without a copy. Chunk extensions are read and dropped.
public struct ChunkedDecoder {
    public enum Event: Equatable, Sendable {
        /// Content, at an offset of the bytes of this call.
        case data(offset: Int, count: Int)
        /// All is used up but, in the trailer section, what `Step.consumed` leaves: call again with more behind it.
        case needMore
        /// The body is over. The trailer field lines stand at an offset of the bytes of this call: checked, each with
        /// its CRLF and without the empty line, fit to be forwarded as they are.
        case end(trailersOffset: Int, trailersCount: Int)
        /// The message is broken; the connection can't be used any further.
        case failed(ParseFault)
    }

    public struct Step: Equatable, Sendable {
        /// Bytes done with, those of the event included; the next call begins behind them.
        public var consumed: Int
        public var event: Event
    }

    /// Bytes that the trailer section may have if nothing else is said: room for gRPC-Web's and checksum trailers many
    /// times over. The caller's buffer must be able to hold as many at once.
    public static let defaultTrailerBytes = 4096

    /// Fields that the trailer section may have: as many as `limits.header_count` lets a head have at most, so that
    /// they fit wherever a head's do.
    public static let trailerFields = 128

    /// How far extensions may outweigh the data. An honest signature per chunk (some 90 bytes on 64 KiB) gains nothing
    /// here; one-byte chunks dressed in kilobytes of extension run into it at once.
    static let excessBytes = 4096

    private enum State: UInt8 {
        case size, moreSize, afterSize, `extension`, sizeLineFeed, data, dataReturn, dataLineFeed, trailers, ended
    }

    private var remaining: UInt64 = 0
    private var trailerLine: UInt32 = 0
    private var trailerScanned: UInt32 = 0
    private let trailerBytes: UInt32
    private var excess: UInt32 = 0
    private var extensionBytes: UInt32 = 0
    private var digits: UInt8 = 0
    private var trailerCount: UInt8 = 0
    private var state = State.size

    /// A decoder at the first byte of a body.
    public init(trailerBytes: Int = defaultTrailerBytes) {
        self.trailerBytes = UInt32(min(max(trailerBytes, 2), 1 << 24))
    }

    /// The next step over `bytes`, which begin where the step before left off.
    public mutating func next(_ bytes: UnsafePointer<UInt8>, count: Int) -> Step {
        var index = 0
        while index < count {
            let byte = bytes[index]
            switch state {
            case .size, .moreSize:
                let digit = Self.hexadecimal(byte)
                if digit < 16 {
                    // 16 digits hold every size; more would be leading zeros without end. Up to Int.max, so that no sum
                    // or conversion later on can overflow unseen.
                    guard digits < 16, remaining <= UInt64(Int.max) >> 4 else {
                        return Step(consumed: index, event: .failed(.chunkSizeTooLarge))
                    }
                    remaining = remaining << 4 | UInt64(digit)
                    digits += 1
                    state = .moreSize
                } else if state == .moreSize {
                    state = .afterSize
                    continue
                } else {
                    return Step(consumed: index, event: .failed(.badChunkSize))
                }
            case .afterSize:
                switch byte {
                case ASCII.carriageReturn where extensionBytes == 0: state = .sizeLineFeed
                case UInt8(ascii: ";"):
                    extensionBytes += 1
                    state = .extension
                // White space may stand between a size and its extension (RFC 9112 §7.1.1), not before CRLF.
                case ASCII.space, ASCII.tab: extensionBytes += 1
                default: return Step(consumed: index, event: .failed(.badChunkSize))
                }
                if extensionBytes > Self.excessBytes {
                    return Step(consumed: index, event: .failed(.chunkFramingTooLarge))
                }
            case .extension:
                if byte == ASCII.carriageReturn {
                    state = .sizeLineFeed
                } else if byte == ASCII.tab || (byte >= 0x20 && byte != 0x7F) {
                    extensionBytes += 1
                    if excess + extensionBytes > Self.excessBytes {
                        return Step(consumed: index, event: .failed(.chunkFramingTooLarge))
                    }
                } else {
                    return Step(consumed: index, event: .failed(.badChunkExtension))
                }
            case .sizeLineFeed:
                guard byte == ASCII.lineFeed else { return Step(consumed: index, event: .failed(.bareCarriageReturn)) }
                beginChunk()
            case .data:
                let available = Int(truncatingIfNeeded: min(remaining, UInt64(count - index)))
                remaining -= UInt64(available)
                if remaining == 0 { state = .dataReturn }
                return Step(consumed: index + available, event: .data(offset: index, count: available))
            case .dataReturn:
                guard byte == ASCII.carriageReturn else { return Step(consumed: index, event: .failed(.badChunkEnd)) }
                state = .dataLineFeed
            case .dataLineFeed:
                guard byte == ASCII.lineFeed else { return Step(consumed: index, event: .failed(.badChunkEnd)) }
                state = .size
            case .trailers:
                return scanTrailers(bytes, count, from: index)
            case .ended:
                return Step(consumed: index, event: .end(trailersOffset: index, trailersCount: 0))
            }
            index += 1
        }
        return Step(consumed: index, event: .needMore)
    }

    private mutating func beginChunk() {
        let balance = UInt64(excess) + UInt64(extensionBytes)
        excess = balance > remaining ? UInt32(truncatingIfNeeded: balance - remaining) : 0
        extensionBytes = 0
        digits = 0
        state = remaining == 0 ? .trailers : .data
    }

    /// A digit's value, or 255.
    @inline(__always)
    private static func hexadecimal(_ byte: UInt8) -> UInt8 {
        let digit = byte &- UInt8(ascii: "0")
        if digit <= 9 { return digit }
        let letter = (byte | 0x20) &- UInt8(ascii: "a")
        return letter <= 5 ? letter + 10 : 255
    }

    /// Lines are judged as in a head, each when its LF is there. Nothing is consumed before the section is whole, so
    /// that it can be returned in one piece.
    private mutating func scanTrailers(_ bytes: UnsafePointer<UInt8>, _ count: Int, from offset: Int) -> Step {
        let start = bytes + offset
        let window = HeadParser.Window(start, bytes + count, limit: Int(trailerBytes))
        let failed = { (fault: ParseFault) in Step(consumed: offset, event: .failed(fault)) }
        guard window.limited || hasLineFeed(start + Int(trailerScanned), window.end) else {
            trailerScanned = UInt32(truncatingIfNeeded: window.end - start)
            return Step(consumed: offset, event: .needMore)
        }
        var cursor = start + Int(trailerLine)
        while true {
            let lineStart = cursor
            var fault: ParseFault?
            var field = sluice_field()
            switch scanFieldLineOutOfLine(&cursor, window.end, ByteClass.table, &field) {
            case .field:
                if Self.isForbiddenTrailer(field.name) { return failed(.forbiddenTrailer) }
                guard trailerCount < Self.trailerFields else { return failed(.tooManyFields) }
                trailerCount += 1
                continue
            case .endOfSection:
                state = .ended
                return Step(
                    consumed: cursor - bytes,
                    event: .end(trailersOffset: offset, trailersCount: lineStart - start))
            case .incomplete: break
            case .broken(let reason): fault = reason
            }
            if let fault, hasLineFeed(lineStart, window.end) { return failed(fault) }
            if window.limited { return failed(.trailersTooLarge) }
            trailerLine = UInt32(truncatingIfNeeded: lineStart - start)
            trailerScanned = UInt32(truncatingIfNeeded: window.end - start)
            return Step(consumed: offset, event: .needMore)
        }
    }

    /// Fields that frame, route or authorise a message or belong to one hop come too late in a trailer (RFC 9110
    /// §6.5.1); some recipients merge trailers into the header, so these are refused rather than passed on.
    public static func isForbiddenTrailer(_ name: sluice_bytes) -> Bool {
        isHopByHopOrFraming(name) || name.equalsIgnoringCase("host") || name.equalsIgnoringCase("authorization")
            || name.equalsIgnoringCase("trailer") || name.equalsIgnoringCase("content-type")
            || name.equalsIgnoringCase("content-encoding") || name.equalsIgnoringCase("expect")
    }
}
