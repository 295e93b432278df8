import Glibc

/// Finds one value in a text of JSON (RFC 8259) without reading more of it than it takes, and without memory. It is no
/// validator: what is malformed behind the value does not matter, what is malformed before it is not found or found as
/// far as brackets and quotes can be told apart. Time is linear in the text; there is no recursion.
struct JSONLookup {
    private let start: UnsafePointer<UInt8>
    private let size: Int
    private var at = 0

    init(_ start: UnsafePointer<UInt8>, _ size: Int) {
        self.start = start
        self.size = size
    }

    /// The value at the end of the path; absent when there is none. Of repeated keys the first one counts.
    func find(_ steps: UnsafePointer<FlatStep>, _ count: Int, _ view: RequestView) -> Value {
        var reader = self
        for index in 0..<count {
            reader.skipSpace()
            let found = steps[index].key == nil ? reader.enterArray(steps[index]) : reader.enterObject(steps[index])
            guard found else { return .absent }
        }
        reader.skipSpace()
        return reader.value(view)
    }

    private var byte: UInt8 {
        @inline(__always) get { at < size ? start[at] : 0 }
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < size, start[at] == 0x20 || start[at] == 0x0A || start[at] == 0x0D || start[at] == 0x09 { at &+= 1 }
    }

    /// Leaves the reader at the value of the key.
    private mutating func enterObject(_ step: FlatStep) -> Bool {
        guard byte == UInt8(ascii: "{") else { return false }
        at &+= 1
        while true {
            skipSpace()
            guard byte == UInt8(ascii: "\""), let key = takeString() else { return false }
            skipSpace()
            guard byte == UInt8(ascii: ":") else { return false }
            at &+= 1
            var text = key
            if text.equals(step.key.unsafelyUnwrapped, step.size) { return true }
            guard skipValue(), takeComma() else { return false }
        }
    }

    /// Leaves the reader at the element.
    private mutating func enterArray(_ step: FlatStep) -> Bool {
        guard byte == UInt8(ascii: "[") else { return false }
        at &+= 1
        skipSpace()
        guard byte != UInt8(ascii: "]") else { return false }
        var left = step.size
        while left > 0 {
            guard skipValue(), takeComma() else { return false }
            left &-= 1
        }
        return true
    }

    private mutating func takeComma() -> Bool {
        skipSpace()
        guard byte == UInt8(ascii: ",") else { return false }
        at &+= 1
        return true
    }

    /// Past one value. False at the end of the text.
    private mutating func skipValue() -> Bool {
        skipSpace()
        var depth = 0
        while at < size {
            switch start[at] {
            case UInt8(ascii: "\""):
                guard takeString() != nil else { return false }
                if depth == 0 { return true }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth &+= 1
                at &+= 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                // The end of what the value stands in: there was none.
                guard depth > 0 else { return false }
                depth &-= 1
                at &+= 1
                if depth == 0 { return true }
            case UInt8(ascii: ","), UInt8(ascii: ":"), 0x20, 0x0A, 0x0D, 0x09:
                guard depth > 0 else { return false }
                at &+= 1
            default:
                skipWord()
                if depth == 0 { return true }
            }
        }
        return false
    }

    /// Past a number or a name: up to what ends one.
    private mutating func skipWord() {
        while at < size {
            switch start[at] {
            case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ":"), UInt8(ascii: "\""),
                UInt8(ascii: "{"), UInt8(ascii: "["), 0x20, 0x0A, 0x0D, 0x09:
                return
            default: at &+= 1
            }
        }
    }

    /// What stands between the quote here and the one that closes it, and goes past that.
    private mutating func takeString() -> JSONText? {
        let begin = at &+ 1
        var position = begin
        var isEscaped = false
        while position < size {
            guard let end = place(of: 0x22, in: start, position..<size) else { return nil }
            // An odd number of backslashes before a quote takes its meaning away.
            var slashes = 0
            while end &- slashes > begin, start[end &- slashes &- 1] == 0x5C { slashes &+= 1 }
            if slashes & 1 == 0 {
                isEscaped = isEscaped || slashes > 0 || place(of: 0x5C, in: start, begin..<end) != nil
                at = end &+ 1
                return JSONText(start: start + begin, size: end &- begin, isEscaped: isEscaped)
            }
            isEscaped = true
            position = end &+ 1
        }
        return nil
    }

    private mutating func value(_ view: RequestView) -> Value {
        switch byte {
        case UInt8(ascii: "\""): return takeString()?.value(view) ?? .absent
        case UInt8(ascii: "{"), UInt8(ascii: "["): return Value(.structure)
        default:
            let begin = at
            skipWord()
            let word = UnsafeRawBufferPointer(start: start + begin, count: at &- begin)
            if isWord(word, "true") { return .boolean(true) }
            if isWord(word, "false") { return .boolean(false) }
            if isWord(word, "null") { return Value(.null) }
            return DecimalText.parse(start + begin, at &- begin)
        }
    }

    private func isWord(_ word: UnsafeRawBufferPointer, _ wanted: StaticString) -> Bool {
        word.elementsEqual(UnsafeRawBufferPointer(start: wanted.utf8Start, count: wanted.utf8CodeUnitCount))
    }
}

/// The inside of a string of JSON, unescaped as it is read.
struct JSONText {
    let start: UnsafePointer<UInt8>
    let size: Int
    let isEscaped: Bool
    private var at = 0
    /// Bytes of a character of an escape that are still to come, the first one lowest.
    private var pending: UInt32 = 0
    private var pendingCount = 0
    private(set) var isMalformed = false

    init(start: UnsafePointer<UInt8>, size: Int, isEscaped: Bool) {
        self.start = start
        self.size = size
        self.isEscaped = isEscaped
    }

    mutating func equals(_ other: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard isEscaped else { return size == count && (count == 0 || memcmp(start, other, count) == 0) }
        var index = 0
        while let byte = next() {
            guard index < count, other[index] == byte else { return false }
            index &+= 1
        }
        return index == count && !isMalformed
    }

    /// The text; unescaped into the view's memory where it has to be. Absent when an escape is malformed.
    func value(_ view: RequestView) -> Value {
        guard isEscaped else { return .text(start, size) }
        // No escape is shorter than what it stands for.
        guard let room = view.room(size) else { return Value(.noMemory) }
        var text = self
        var count = 0
        while let byte = text.next() {
            room[count] = byte
            count &+= 1
        }
        return text.isMalformed ? .absent : .text(room, count)
    }

    mutating func next() -> UInt8? {
        if pendingCount > 0 {
            defer {
                pending &>>= 8
                pendingCount &-= 1
            }
            return UInt8(truncatingIfNeeded: pending)
        }
        guard at < size else { return nil }
        let byte = start[at]
        at &+= 1
        guard byte == 0x5C else { return byte }
        guard at < size else { return fail() }
        let letter = start[at]
        at &+= 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return letter
        case UInt8(ascii: "b"): return 0x08
        case UInt8(ascii: "f"): return 0x0C
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "u"): return unicode()
        default: return fail()
        }
    }

    private mutating func fail() -> UInt8? {
        isMalformed = true
        at = size
        return nil
    }

    /// RFC 8259, section 7: characters beyond the basic plane are two escapes, a surrogate pair.
    private mutating func unicode() -> UInt8? {
        guard var code = fourDigits() else { return fail() }
        if code & 0xFC00 == 0xD800 {
            guard at &+ 1 < size, start[at] == 0x5C, start[at &+ 1] == UInt8(ascii: "u") else { return fail() }
            at &+= 2
            guard let low = fourDigits(), low & 0xFC00 == 0xDC00 else { return fail() }
            code = 0x10000 &+ (code & 0x3FF) << 10 &+ (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else { return fail() }
        for byte in UTF8.encode(scalar).unsafelyUnwrapped {
            pending |= UInt32(byte) << UInt32(8 &* pendingCount)
            pendingCount &+= 1
        }
        return next()
    }

    private mutating func fourDigits() -> UInt32? {
        guard at &+ 4 <= size else { return nil }
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = hexadecimalDigit(start[at]) else { return nil }
            code = code << 4 | UInt32(digit)
            at &+= 1
        }
        return code
    }
}
