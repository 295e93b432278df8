import CLinux
import Glibc

/// -1, 0 or 1 as `left` is less than, equal to or greater than `right`; 2 when one of them is no number.
@inline(__always)
func order(_ left: Value, _ right: Value) -> Int {
    if left.kind == .integer, right.kind == .integer {
        return left.integer == right.integer ? 0 : left.integer < right.integer ? -1 : 1
    }
    return orderMixed(left, right)
}

@inline(never)
private func orderMixed(_ left: Value, _ right: Value) -> Int {
    guard left.isNumeric, right.isNumeric else { return 2 }
    if left.kind != .number, right.kind != .number {
        if left.kind == right.kind { return left.bits == right.bits ? 0 : left.bits < right.bits ? -1 : 1 }
        return left.kind == .large ? 1 : -1
    }
    let (one, other) = (left.float, right.float)
    return one == other ? 0 : one < other ? -1 : 1
}

@inline(__always)
func areEqual(_ left: Value, _ right: Value, _ ignoresCase: Bool) -> Bool {
    if left.kind == .text, right.kind == .text {
        guard left.size == right.size else { return false }
        guard left.size > 0 else { return true }
        guard let one = left.start, let other = right.start else { return false }
        return ignoresCase ? equalCaseless(one, other, left.size) : memcmp(one, other, left.size) == 0
    }
    if left.kind == .integer || left.kind == .number || left.kind == .large { return order(left, right) == 0 }
    return left.kind == right.kind && (left.kind == .null || (left.kind == .boolean && left.bits == right.bits))
}

/// Tests of two texts; false for anything else. Every text begins and ends with the empty one, and contains it.
func test(_ operation: Instruction.Operation, _ text: Value, _ part: Value, ignoresCase: Bool) -> Bool {
    guard text.kind == .text, part.kind == .text, part.size <= text.size else { return false }
    guard part.size > 0, let start = text.start, let wanted = part.start else { return true }
    let last = text.size &- part.size
    func matches(_ place: Int) -> Bool {
        ignoresCase
            ? equalCaseless(start + place, wanted, part.size) : memcmp(start + place, wanted, part.size) == 0
    }
    switch operation {
    case .startsWith: return matches(0)
    case .endsWith: return matches(last)
    default:
        guard ignoresCase else { return clinux_find(start, text.size, wanted, part.size) != nil }
        let first = lowercased(wanted[0])
        var place = 0
        while place <= last {
            if lowercased(start[place]) == first, matches(place) { return true }
            place &+= 1
        }
        return false
    }
}

/// What does not fit 64 bits, a division by zero and what is no number have no result.
func arithmetic(_ operation: Instruction.Operation, _ left: Value, _ right: Value) -> Value {
    if left.kind == .integer, right.kind == .integer {
        let (one, other) = (left.integer, right.integer)
        let (result, overflow): (Int64, Bool) =
            switch operation {
            case .add: one.addingReportingOverflow(other)
            case .subtract: one.subtractingReportingOverflow(other)
            case .multiply: one.multipliedReportingOverflow(by: other)
            case .divide: one.dividedReportingOverflow(by: other)
            default: one.remainderReportingOverflow(dividingBy: other)
            }
        return overflow ? .absent : .integer(result)
    }
    guard left.isNumeric, right.isNumeric else { return .absent }
    if left.kind != .number, right.kind != .number { return arithmeticOfLarge(operation, left, right) }
    let (one, other) = (left.float, right.float)
    switch operation {
    case .add: return .number(one + other)
    case .subtract: return .number(one - other)
    case .multiply: return .number(one * other)
    case .divide: return .number(one / other)
    // As C's fmod: the sign is that of the left side.
    default: return .number(one.truncatingRemainder(dividingBy: other))
    }
}

/// One of the two is above `Int64.max`: hashes are divided, and nothing else is worth its while.
private func arithmeticOfLarge(_ operation: Instruction.Operation, _ left: Value, _ right: Value) -> Value {
    guard left.kind == .large || left.integer >= 0, right.kind == .large || right.integer > 0 else { return .absent }
    switch operation {
    case .divide: return .unsigned(left.bits / right.bits)
    case .remainder: return .unsigned(left.bits % right.bits)
    default: return .absent
    }
}

extension Value {
    var negated: Value {
        switch kind {
        case .integer: integer == .min ? .absent : .integer(-integer)
        case .number: .number(-number)
        default: .absent
        }
    }

    /// A whole number; the fraction of others is cut off. Texts must say one in decimal digits.
    var asInteger: Value {
        switch kind {
        case .integer, .large: return self
        case .number: return Int64(exactly: number.rounded(.towardZero)).map { .integer($0) } ?? .absent
        case .text:
            guard let start else { return .absent }
            let parsed = DecimalText.parse(start, size)
            return parsed.kind == .integer ? parsed : .absent
        default: return .absent
        }
    }

    /// A float. Texts must say a number as JSON writes it.
    var asNumber: Value {
        switch kind {
        case .number: return self
        case .integer, .large: return .number(float)
        case .text:
            guard let start else { return .absent }
            let parsed = DecimalText.parse(start, size)
            return parsed.isNumeric ? .number(parsed.float) : .absent
        default: return .absent
        }
    }

    /// A copy with ASCII letters in lower case; the text itself where it has no capitals.
    func lowercase(_ view: RequestView) -> Value {
        guard kind == .text, let start else { return kind == .text ? self : .absent }
        var index = 0
        while index < size, start[index] &- 0x41 >= 26 { index &+= 1 }
        guard index < size else { return self }
        guard let room = view.room(size) else { return Value(.noMemory) }
        for index in 0..<size { room[index] = lowercased(start[index]) }
        return .text(room, size)
    }
}

/// Numbers in the grammar of JSON (RFC 8259, section 6).
enum DecimalText {
    /// A whole number that fits 64 bits, a float, or absent: also for numbers of more than 63 characters.
    static func parse(_ start: UnsafePointer<UInt8>, _ size: Int) -> Value {
        guard size > 0, size < 64 else { return .absent }
        var at = 0
        let isNegative = start[0] == UInt8(ascii: "-")
        if isNegative { at = 1 }
        let first = at
        var magnitude: UInt64 = 0
        var fits = true
        while at < size, start[at] &- 0x30 < 10 {
            let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(start[at] &- 0x30))
            fits = fits && !overflow && !carry
            magnitude = sum
            at &+= 1
        }
        guard at > first, at == first + 1 || start[first] != 0x30 else { return .absent }
        if at == size, fits {
            if !isNegative, magnitude <= UInt64(Int64.max) { return .integer(Int64(magnitude)) }
            if isNegative, magnitude <= UInt64(Int64.max) + 1 {
                return .integer(Int64(truncatingIfNeeded: 0 &- magnitude))
            }
        }
        if at < size, start[at] == UInt8(ascii: ".") {
            let point = at
            at &+= 1
            while at < size, start[at] &- 0x30 < 10 { at &+= 1 }
            guard at > point + 1 else { return .absent }
        }
        if at < size, start[at] | 0x20 == UInt8(ascii: "e") {
            at &+= 1
            if at < size, start[at] == UInt8(ascii: "+") || start[at] == UInt8(ascii: "-") { at &+= 1 }
            let digits = at
            while at < size, start[at] &- 0x30 < 10 { at &+= 1 }
            guard at > digits else { return .absent }
        }
        return at == size ? float(start, size) : .absent
    }

    /// strtod wants a NUL at the end. The process never sets a locale, so the point is a point.
    private static func float(_ start: UnsafePointer<UInt8>, _ size: Int) -> Value {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { copy in
            let text = copy.baseAddress.unsafelyUnwrapped
            memcpy(text, start, size)
            (text + size).initialize(to: 0)
            return .number(strtod(text, nil))
        }
    }
}
