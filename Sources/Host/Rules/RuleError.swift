/// Why a rule, or a function's signature, was refused: what is wrong at which column, and what to do.
public struct RuleError: Error, Equatable, Sendable {
    /// Counts characters from 1.
    public var column: Int
    /// One line, without control characters.
    public var message: String

    public init(column: Int, message: String) {
        self.column = column
        self.message = message
    }
}

/// A fault at a byte of the text, before its column is known.
struct SyntaxFault: Error {
    var offset: Int
    var message: String

    init(_ offset: Int, _ message: String) {
        self.offset = offset
        self.message = message
    }

    func error(in text: [UInt8]) -> RuleError {
        // Each character but the first byte's continuation bytes (10xxxxxx) counts.
        let before = text.prefix(min(max(offset, 0), text.count))
        return RuleError(column: 1 + before.count { $0 & 0xC0 != 0x80 }, message: message)
    }
}

/// What one rule may cost, whoever wrote it.
enum RuleBounds {
    /// A condition of a screenful is 2,000 bytes; longer ones are lists that belong into several rules.
    static let textBytes = 4_096
    /// Parentheses, `not` and minus within each other: far more than a reader can follow, far less than recursion on a
    /// 512 KiB stack bears.
    static let depth = 32
    /// Operators and operands. A rule of this many takes some microseconds, the bodies it reads aside.
    static let nodes = 512
    /// Values that wait for an operator at once. 32 of 24 bytes lie on the worker's stack.
    static let stack = 32
    /// Steps of a path into JSON.
    static let pathSteps = 16
    /// Parameters of a native function: each is at most two arguments of C.
    static let parameters = 8
    /// Elements of a tensor whose smallest and largest are looked for, about a millisecond; a worker serves nobody
    /// else meanwhile.
    static let rangeElements = 1 << 20
}

/// A text of the operator's as a message may show it: without control characters, and cut.
func shown(_ text: some StringProtocol) -> String {
    var line = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(64) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: line.append("?")
        default: line.append(scalar)
        }
    }
    return String(line)
}
