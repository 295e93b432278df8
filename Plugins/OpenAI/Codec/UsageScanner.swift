import SluiceABI

/// Finds the `usage` object of an answer's JSON text, at its top or at the top of its `response`, in pieces cut
/// anywhere. It keeps a few bytes of state and nothing of the text.
///
/// What it walks through on its way (the object, `response`, `usage`) must be JSON, or it stops looking; what lies
/// beside, it only skips: strings, and brackets that match.
struct UsageScanner: BitwiseCopyable {
    private enum State: UInt8 {
        case start
        case firstKey, nextKey, key, keyEscape, keyUnicode, colon
        case value, string, stringEscape, typeText, literal, number, afterValue
        /// Inside of a value that says nothing.
        case skip, skipString, skipStringEscape
        case ended, failed
    }

    /// The objects whose keys are read.
    private enum Place: UInt8 { case root, response, usage, usageOfResponse }

    /// Keys with a meaning.
    private enum Field: UInt8 { case none, type, usage, response, prompt, completion, total }

    /// A count beyond is nonsense, and would spoil a counter that never goes down: no answer has 10^12 tokens.
    private static let countAtMost: UInt64 = 1_000_000_000_000

    private var state = State.start
    private var place = Place.root
    private var field = Field.none
    private var key = ShortKey()
    /// Digits of an escape `\uXXXX` that were read, and their value.
    private var unicodeDigits: UInt8 = 0
    private var unicode: UInt32 = 0
    /// Open brackets of a skipped value, one bit each: 1 for an object. As deep as `JSONReader` goes.
    private var skipDepth: UInt8 = 0
    private var skipKinds: UInt64 = 0
    private var number: UInt64 = 0
    private var numberIsCount = false
    /// The object `usage` that is being read.
    private var prompt: UInt64?
    private var completion: UInt64?
    private var total: UInt64?
    /// The largest counts of all `usage` objects so far.
    private(set) var seen = TokenUsage()
    /// The text's `type` is that of an event with which a stream of `/v1/responses` ends.
    private var isLastEvent = false
    /// Such an event has been read to its end.
    private(set) var hasSeenLastEvent = false

    /// The text's object is closed, or it is none.
    var isFinished: Bool { state == .ended || state == .failed }

    /// Another text begins; what was seen is kept.
    mutating func restart() {
        let (seen, hasSeenLastEvent) = (seen, hasSeenLastEvent)
        self = UsageScanner()
        (self.seen, self.hasSeenLastEvent) = (seen, hasSeenLastEvent)
    }

    mutating func feed(_ text: sluice_bytes) {
        guard var cursor = text.data else { return }
        let end = cursor + text.size
        while cursor < end {
            switch state {
            case .ended, .failed: return
            case .string, .skipString:
                cursor = ByteSearch.first(of: UInt8(ascii: "\""), or: UInt8(ascii: "\\"), cursor, end)
                if cursor == end { return }
                let isQuote = cursor.pointee == UInt8(ascii: "\"")
                if state == .string {
                    state = isQuote ? .afterValue : .stringEscape
                } else {
                    state = isQuote ? .skip : .skipStringEscape
                }
            default: take(cursor.pointee)
            }
            cursor += 1
        }
    }

    private mutating func take(_ byte: UInt8) {
        switch state {
        case .start, .firstKey, .nextKey, .colon, .value, .afterValue:
            if byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { return }
            takeToken(byte)
        case .key, .keyEscape, .keyUnicode: takeOfKey(byte)
        case .stringEscape: state = .string
        case .skipStringEscape: state = .skipString
        case .skip: takeSkipped(byte)
        case .number, .literal: takeOfScalar(byte)
        case .typeText: takeOfType(byte)
        case .string, .skipString, .ended, .failed: break
        }
    }

    /// What is neither white space nor inside of a key or value.
    private mutating func takeToken(_ byte: UInt8) {
        switch (state, byte) {
        case (.start, UInt8(ascii: "{")): state = .firstKey
        case (.firstKey, UInt8(ascii: "\"")), (.nextKey, UInt8(ascii: "\"")):
            key = ShortKey()
            state = .key
        case (.firstKey, UInt8(ascii: "}")), (.afterValue, UInt8(ascii: "}")): close()
        case (.colon, UInt8(ascii: ":")):
            field = meaning()
            state = .value
        case (.afterValue, UInt8(ascii: ",")): state = .nextKey
        case (.value, _): beginValue(byte)
        default: state = .failed
        }
    }

    /// What the key that was read means where it stands.
    private func meaning() -> Field {
        switch place {
        case .root:
            if key.equals("type") {
                .type
            } else {
                key.equals("usage") ? .usage : key.equals("response") ? .response : .none
            }
        case .response: key.equals("usage") ? .usage : .none
        case .usage, .usageOfResponse:
            if key.equals("prompt_tokens") || key.equals("input_tokens") {
                .prompt
            } else if key.equals("completion_tokens") || key.equals("output_tokens") {
                .completion
            } else {
                key.equals("total_tokens") ? .total : .none
            }
        }
    }

    private mutating func beginValue(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\"") where field == .type:
            key = ShortKey()
            state = .typeText
        case UInt8(ascii: "\""): state = .string
        case UInt8(ascii: "{"):
            switch field {
            case .usage:
                (prompt, completion, total) = (nil, nil, nil)
                place = place == .root ? .usage : .usageOfResponse
                state = .firstKey
            case .response:
                place = .response
                state = .firstKey
            default: beginSkip(isObject: true)
            }
        case UInt8(ascii: "["): beginSkip(isObject: false)
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            number = 0
            numberIsCount = byte != UInt8(ascii: "-")
            state = .number
            if numberIsCount { takeOfScalar(byte) }
        case UInt8(ascii: "t"), UInt8(ascii: "f"), UInt8(ascii: "n"): state = .literal
        default: state = .failed
        }
    }

    private mutating func close() {
        state = .afterValue
        switch place {
        case .root:
            state = .ended
            if isLastEvent { hasSeenLastEvent = true }
        case .response: place = .root
        case .usage:
            place = .root
            settle()
        case .usageOfResponse:
            place = .response
            settle()
        }
    }

    /// An object `usage` is whole.
    private mutating func settle() {
        let sum = (prompt ?? 0) + (completion ?? 0)
        seen.raise(to: TokenUsage(prompt: prompt ?? 0, completion: completion ?? 0, total: total ?? sum))
    }

    // MARK: Scalars

    private mutating func takeOfScalar(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            number = min(number * 10 + UInt64(byte - UInt8(ascii: "0")), Self.countAtMost + 1)
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"), UInt8(ascii: "+"), UInt8(ascii: "-"),
            UInt8(ascii: "."):
            numberIsCount = false
        default:
            if state == .number, numberIsCount, number <= Self.countAtMost { store(number) }
            state = .afterValue
            take(byte)
        }
    }

    private mutating func store(_ count: UInt64) {
        switch field {
        case .prompt: prompt = count
        case .completion: completion = count
        case .total: total = count
        case .none, .type, .usage, .response: break
        }
    }

    // MARK: The type of an event

    /// The events before also have a `response`, and some servers give it a `usage` from the first one on, of zeros or
    /// of sums so far: only its type tells the last one (OpenAI API reference, Responses, "Streaming events").
    private mutating func takeOfType(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""):
            isLastEvent =
                key.equals("response.completed") || key.equals("response.incomplete") || key.equals("response.failed")
            state = .afterValue
        // None of those has an escape.
        case UInt8(ascii: "\\"): state = .stringEscape
        default: key.append(byte)
        }
    }

    // MARK: Keys

    private mutating func takeOfKey(_ byte: UInt8) {
        switch state {
        case .keyEscape:
            state = .key
            switch byte {
            case UInt8(ascii: "u"):
                unicodeDigits = 0
                unicode = 0
                state = .keyUnicode
            // Which control character it stands for makes no difference: no key that is looked for has one.
            default: key.append(byte == UInt8(ascii: "/") ? byte : 0)
            }
        case .keyUnicode:
            guard let digit = Self.hexadecimal(byte) else {
                state = .failed
                return
            }
            unicode = unicode << 4 | digit
            unicodeDigits += 1
            if unicodeDigits == 4 {
                key.append(unicode < 0x80 ? UInt8(unicode) : 0)
                state = .key
            }
        default:
            switch byte {
            case UInt8(ascii: "\""): state = .colon
            case UInt8(ascii: "\\"): state = .keyEscape
            case 0..<0x20: state = .failed
            default: key.append(byte)
            }
        }
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }

    // MARK: Values without a meaning

    private mutating func beginSkip(isObject: Bool) {
        guard skipDepth < 64 else {
            state = .failed
            return
        }
        skipDepth += 1
        skipKinds = skipKinds << 1 | (isObject ? 1 : 0)
        state = .skip
    }

    private mutating func takeSkipped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): state = .skipString
        case UInt8(ascii: "{"): beginSkip(isObject: true)
        case UInt8(ascii: "["): beginSkip(isObject: false)
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
            guard (skipKinds & 1 == 1) == (byte == UInt8(ascii: "}")) else {
                state = .failed
                return
            }
            skipKinds >>= 1
            skipDepth -= 1
            if skipDepth == 0 { state = .afterValue }
        default: break
        }
    }
}

/// The first bytes of a key, or of a type, as many as the longest one has that is looked for (`response.incomplete`)
/// and one more.
private struct ShortKey: BitwiseCopyable {
    private static let capacity = 20

    private var low: UInt64 = 0
    private var middle: UInt64 = 0
    private var high: UInt64 = 0
    private var count = 0

    mutating func append(_ byte: UInt8) {
        guard count < Self.capacity else { return }
        let shifted = UInt64(byte) << UInt64(count % 8 * 8)
        switch count / 8 {
        case 0: low |= shifted
        case 1: middle |= shifted
        default: high |= shifted
        }
        count += 1
    }

    func equals(_ text: StaticString) -> Bool {
        guard text.utf8CodeUnitCount == count else { return false }
        var other = ShortKey()
        for index in 0..<count { other.append(text.utf8Start[index]) }
        return low == other.low && middle == other.middle && high == other.high
    }
}

enum ByteSearch {
    /// Where one of two bytes comes first, or `end`: eight at a time.
    static func first(
        of one: UInt8, or other: UInt8, _ begin: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>
    ) -> UnsafePointer<UInt8> {
        var position = begin
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while end - position >= 8 {
            let word = UInt64(littleEndian: UnsafeRawPointer(position).loadUnaligned(as: UInt64.self))
            let first = word ^ (ones &* UInt64(one))
            let second = word ^ (ones &* UInt64(other))
            // The top bit of each byte that is 0; a borrow may mark a byte above the first such one, never below it.
            let marks = ((first &- ones) & ~first | (second &- ones) & ~second) & tops
            if marks != 0 { return position + marks.trailingZeroBitCount / 8 }
            position += 8
        }
        while position < end, position.pointee != one, position.pointee != other { position += 1 }
        return position
    }
}
