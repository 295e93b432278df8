@_exported import SluiceABI

/// What HTTP allows each of the 256 bytes to be, one bit per place.
///
/// A table of bytes beats ranges: one load and one test per byte. It lives in memory that is allocated once and never
/// freed; whoever scans holds the pointer, so that no look-up pays for the check of a lazy global.
enum ByteClass {
    /// `tchar`, the bytes of methods and field names (RFC 9110 §5.6.2).
    static let token: UInt8 = 1
    /// A request target's path. RFC 3986 leaves out more than this refuses: `[ ] { } | ^` and the backtick are sent
    /// raw by browsers and curl, mean nothing to anyone, and are passed as they came. Refused are bytes that make two
    /// readings possible: controls, space, `#`, `?` (it ends the path), backslash (a slash to some), quotes and angle
    /// brackets, DEL, and all beyond ASCII.
    static let path: UInt8 = 2
    /// A query: the same and `?`.
    static let query: UInt8 = 4
    /// A host name: `unreserved` of RFC 3986. Its `pct-encoded` and `sub-delims` occur in no DNS name, and a comma or
    /// an escape would be read differently by the next hop, so they are refused.
    static let hostName: UInt8 = 8
    /// A field value: visible ASCII, space, HTAB and `obs-text` (RFC 9110 §5.5).
    static let value: UInt8 = 16
    /// The inside of an IP literal's brackets.
    static let ipLiteral: UInt8 = 32

    nonisolated(unsafe) static let table: UnsafePointer<UInt8> = {
        let table = UnsafeMutablePointer<UInt8>.allocate(capacity: 256)
        table.initialize(repeating: 0, count: 256)
        func add(_ bit: UInt8, _ bytes: some Sequence<UInt8>) {
            for byte in bytes { table[Int(byte)] |= bit }
        }
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let lower = UInt8(ascii: "a")...UInt8(ascii: "z")
        let upper = UInt8(ascii: "A")...UInt8(ascii: "Z")
        for bit in [token, hostName] {
            add(bit, digits)
            add(bit, lower)
            add(bit, upper)
        }
        add(token, "!#$%&'*+-.^_`|~".utf8)
        add(hostName, "-._~".utf8)
        let visible = UInt8(ascii: "!")...UInt8(ascii: "~")
        let twoReadings = Set("#\\\"<>".utf8)
        add(query, visible.filter { !twoReadings.contains($0) })
        add(path, visible.filter { !twoReadings.contains($0) && $0 != UInt8(ascii: "?") })
        add(value, visible)
        add(value, " \t".utf8)
        add(value, UInt8(0x80)...UInt8(0xFF))
        add(ipLiteral, "0123456789abcdefABCDEF:.".utf8)
        return UnsafePointer(table)
    }()
}

enum ASCII {
    static let tab = UInt8(ascii: "\t")
    static let lineFeed = UInt8(ascii: "\n")
    static let carriageReturn = UInt8(ascii: "\r")
    static let space = UInt8(ascii: " ")
    static let colon = UInt8(ascii: ":")
    static let slash = UInt8(ascii: "/")
}

@inline(__always)
func load16(_ pointer: UnsafePointer<UInt8>) -> UInt16 {
    UInt16(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt16.self))
}

@inline(__always)
func load32(_ pointer: UnsafePointer<UInt8>) -> UInt32 {
    UInt32(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt32.self))
}

@inline(__always)
func load64(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
    UInt64(littleEndian: UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self))
}

/// Moves over bytes of a class. Four at a time, so that the test for the end is paid once in four.
@inline(__always)
func skip(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ classes: UnsafePointer<UInt8>, _ bit: UInt8
) -> UnsafePointer<UInt8> {
    var cursor = start
    while end - cursor >= 4 {
        if classes[Int(cursor[0])] & bit == 0 { return cursor }
        if classes[Int(cursor[1])] & bit == 0 { return cursor + 1 }
        if classes[Int(cursor[2])] & bit == 0 { return cursor + 2 }
        if classes[Int(cursor[3])] & bit == 0 { return cursor + 3 }
        cursor += 4
    }
    while cursor < end, classes[Int(cursor[0])] & bit != 0 { cursor += 1 }
    return cursor
}

/// Moves over bytes of a class of which most are ASCII letters, or lie between two common bytes: eight of those are
/// passed in one go, the others one by one. All letters and all common bytes must be of the class.
///
/// Per byte, with bit 5 set so that case is gone: bit 7 of `folded + 0x1F` is set from `a` on, that of `folded + 0x05`
/// beyond `z`; likewise for the common bytes. Bytes beyond ASCII are taken out by `~word`; their carry reaches only
/// what lies behind them.
@inline(__always)
func skip(
    _ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ classes: UnsafePointer<UInt8>, _ bit: UInt8,
    commonFrom first: UInt8, through last: UInt8
) -> UnsafePointer<UInt8> {
    let ones: UInt64 = 0x0101_0101_0101_0101
    let tops: UInt64 = 0x8080_8080_8080_8080
    let fromFirst = ones &* UInt64(0x80 &- first)
    let beyondLast = ones &* UInt64(0x7F &- last)
    let lastWord = end - 8
    var cursor = start
    while cursor <= lastWord {
        let word = load64(cursor)
        let folded = word | 0x2020_2020_2020_2020
        let letters = (folded &+ 0x1F1F_1F1F_1F1F_1F1F) & ~(folded &+ 0x0505_0505_0505_0505)
        let common = (word &+ fromFirst) & ~(word &+ beyondLast)
        let others = (letters | common) & ~word & tops ^ tops
        if others == 0 {
            cursor += 8
            continue
        }
        cursor += others.trailingZeroBitCount &>> 3
        if classes[Int(cursor[0])] & bit == 0 { return cursor }
        cursor += 1
    }
    while cursor < end, classes[Int(cursor[0])] & bit != 0 { cursor += 1 }
    return cursor
}

@inline(__always)
func lowercased(_ byte: UInt8) -> UInt8 {
    byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
}

extension sluice_bytes {
    @inline(__always)
    init(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
        self.init(data: start, size: end - start)
    }

    /// Whether the bytes are `text`, which must be lower-case ASCII, in any mix of cases.
    func equalsIgnoringCase(_ text: StaticString) -> Bool {
        guard size == text.utf8CodeUnitCount, let data else { return false }
        let expected = text.utf8Start
        for index in 0..<size where lowercased(data[index]) != expected[index] { return false }
        return true
    }

    /// Whether both are the same but for the case of ASCII letters.
    func equalsIgnoringCase(_ other: sluice_bytes) -> Bool {
        guard size == other.size else { return false }
        guard let data, let otherData = other.data else { return size == 0 }
        for index in 0..<size where lowercased(data[index]) != lowercased(otherData[index]) { return false }
        return true
    }

    func contains(_ byte: UInt8) -> Bool {
        guard let data else { return false }
        for index in 0..<size where data[index] == byte { return true }
        return false
    }
}
