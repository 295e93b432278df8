/// A word of the language.
struct Token: Equatable {
    enum Kind: Equatable {
        case word(String)
        case text([UInt8])
        case integer(Int64)
        /// 9223372036854775808 behind a minus, which may make a whole number of it: the lowest one, whose magnitude is
        /// none itself.
        case magnitudeOfLowest
        case number(Double)
        /// Punctuation and operators.
        case symbol(String)
        case end
    }

    var kind: Kind
    /// Byte at which it begins.
    var offset: Int

    /// As a message names it.
    var description: String {
        switch kind {
        case .word(let word): "`\(shown(word))`"
        case .text: "a text"
        case .integer(let value): "\(value)"
        case .magnitudeOfLowest: "\(Int64.min.magnitude)"
        case .number(let value): "\(value)"
        case .symbol(let symbol): "`\(symbol)`"
        case .end: "the end of the rule"
        }
    }
}

/// Cuts a rule into tokens. Any bytes give tokens or a fault.
struct Lexer {
    private let text: [UInt8]
    private var at = 0

    init(_ text: [UInt8]) { self.text = text }

    /// All tokens, the last one `end`.
    static func tokens(_ text: [UInt8]) throws(SyntaxFault) -> [Token] {
        var lexer = Lexer(text)
        var tokens: [Token] = []
        repeat {
            let token = try lexer.next()
            if token.kind == .magnitudeOfLowest, tokens.last?.kind != .symbol("-") { throw tooLarge(token.offset) }
            tokens.append(token)
        } while tokens.last?.kind != .end
        return tokens
    }

    static func tooLarge(_ offset: Int) -> SyntaxFault {
        SyntaxFault(offset, "this whole number is larger than \(Int64.max); write a smaller one")
    }

    private func byte(_ ahead: Int = 0) -> UInt8 { at + ahead < text.count ? text[at + ahead] : 0 }

    private mutating func next() throws(SyntaxFault) -> Token {
        while at < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[at]) { at += 1 }
        let start = at
        guard at < text.count else { return Token(kind: .end, offset: start) }
        switch text[at] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
            while Self.isWord(byte()) { at += 1 }
            return Token(kind: .word(String(decoding: text[start..<at], as: UTF8.self)), offset: start)
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return Token(kind: try number(), offset: start)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return Token(kind: .text(try quoted()), offset: start)
        default: return Token(kind: .symbol(try symbol()), offset: start)
        }
    }

    static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: false
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

    private mutating func number() throws(SyntaxFault) -> Token.Kind {
        let start = at
        var isWhole = true
        while Self.isDigit(byte()) { at += 1 }
        if byte() == UInt8(ascii: "."), Self.isDigit(byte(1)) {
            isWhole = false
            at += 1
            while Self.isDigit(byte()) { at += 1 }
        }
        if byte() | 0x20 == UInt8(ascii: "e") {
            let sign = byte(1) == UInt8(ascii: "+") || byte(1) == UInt8(ascii: "-") ? 1 : 0
            if Self.isDigit(byte(1 + sign)) {
                isWhole = false
                at += 1 + sign
                while Self.isDigit(byte()) { at += 1 }
            }
        }
        guard !Self.isWord(byte()) else {
            throw SyntaxFault(
                at, "a number is followed by a letter; write plain decimal digits, and a space after them")
        }
        let digits = String(decoding: text[start..<at], as: UTF8.self)
        if isWhole {
            guard digits.utf8.count == 1 || digits.utf8.first != 0x30 else {
                throw SyntaxFault(start, "a whole number does not begin with 0; remove it")
            }
            guard let value = UInt64(digits), value <= Int64.min.magnitude else { throw Self.tooLarge(start) }
            return Int64(exactly: value).map { .integer($0) } ?? .magnitudeOfLowest
        }
        guard let value = Double(digits), value.isFinite else {
            throw SyntaxFault(start, "this number is larger than a 64-bit float holds; write a smaller one")
        }
        return .number(value)
    }

    private mutating func quoted() throws(SyntaxFault) -> [UInt8] {
        let start = at
        let quote = text[at]
        var value: [UInt8] = []
        at += 1
        while at < text.count, text[at] != quote {
            guard text[at] >= 0x20, text[at] != 0x7F else {
                throw SyntaxFault(at, "a control character inside a text; write \\n, \\r, \\t or \\xHH")
            }
            if text[at] == UInt8(ascii: "\\") {
                value.append(try escaped())
            } else {
                value.append(text[at])
                at += 1
            }
        }
        guard at < text.count else {
            throw SyntaxFault(start, "this text has no end; close it with \(quote == 0x22 ? "\"" : "'")")
        }
        at += 1
        return value
    }

    private mutating func escaped() throws(SyntaxFault) -> UInt8 {
        let start = at
        at += 2
        switch byte(-1) {
        case UInt8(ascii: "\\"): return 0x5C
        case UInt8(ascii: "\""): return 0x22
        case UInt8(ascii: "'"): return 0x27
        case UInt8(ascii: "n"): return 0x0A
        case UInt8(ascii: "r"): return 0x0D
        case UInt8(ascii: "t"): return 0x09
        case UInt8(ascii: "x"):
            let digits = String(decoding: text[min(at, text.count)..<min(at + 2, text.count)], as: UTF8.self)
            if digits.utf8.count == 2, digits.utf8.allSatisfy(Self.isWord), let value = UInt8(digits, radix: 16) {
                at += 2
                return value
            }
            throw SyntaxFault(start, "\\x takes two hexadecimal digits")
        default: throw SyntaxFault(start, "unknown escape; known are \\\\ \\\" \\' \\n \\r \\t and \\xHH")
        }
    }

    private mutating func symbol() throws(SyntaxFault) -> String {
        let start = at
        let pair = byte(1) == UInt8(ascii: "=")
        at += 1
        switch text[start] {
        case UInt8(ascii: "="):
            guard pair else { throw SyntaxFault(start, "`=` is no operator; `==` compares") }
            at += 1
            return "=="
        case UInt8(ascii: "!"):
            guard pair else { throw SyntaxFault(start, "`!` is no operator; write `not`") }
            at += 1
            return "!="
        case UInt8(ascii: "<"), UInt8(ascii: ">"):
            if pair { at += 1 }
            return String(decoding: text[start..<at], as: UTF8.self)
        case UInt8(ascii: "&"): throw SyntaxFault(start, "`&` is no operator; write `and`")
        case UInt8(ascii: "|"): throw SyntaxFault(start, "`|` is no operator; write `or`")
        case UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ","),
            UInt8(ascii: "."), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "*"), UInt8(ascii: "/"),
            UInt8(ascii: "%"):
            return String(decoding: text[start..<at], as: UTF8.self)
        default:
            throw SyntaxFault(start, "this character means nothing here; a text stands in quotes")
        }
    }
}
