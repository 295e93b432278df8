/// A rule as a tree: what the parser makes and the compiler checks.
struct Expression: Equatable {
    /// Byte of the text at which messages point: that of the operator, or the first one of an operand.
    var offset: Int
    var kind: Kind

    indirect enum Kind: Equatable {
        case literal(Literal)
        case field(Field)
        /// At least two operands each.
        case all([Expression])
        case any([Expression])
        case not(Expression)
        case negate(Expression)
        case arithmetic(Arithmetic, Expression, Expression)
        case comparison(Comparison, Expression, Expression)
        case membership(Expression, [ListItem], isNegated: Bool)
        case call(String, [Expression])
    }

    /// An item of a list, with its place.
    struct ListItem: Equatable {
        var offset: Int
        var value: Literal
    }
}

enum Literal: Equatable {
    case text([UInt8])
    case integer(Int64)
    case number(Double)
    case boolean(Bool)
    case null
}

enum Arithmetic: String, CaseIterable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case remainder = "%"
}

enum Comparison: String, CaseIterable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case startsWith = "starts_with"
    case endsWith = "ends_with"
    case contains

    /// Takes two texts.
    var isTextTest: Bool { self == .startsWith || self == .endsWith || self == .contains }
    /// Takes two numbers.
    var isOrder: Bool { !isTextTest && self != .equal && self != .notEqual }
}

/// What a rule reads of a request.
enum Field: Equatable {
    case method, path, tenant, model, version, priority, body
    case contentType
    case bodySize
    case header([UInt8])
    case query([UInt8])
    case json([PathStep])
    case tensor(TensorName, TensorAttribute)

    /// Those that stand for themselves, as they are written.
    static let words: [String: Field] = [
        "method": .method, "path": .path, "tenant": .tenant, "model": .model, "version": .version,
        "priority": .priority, "content_type": .contentType, "body_size": .bodySize, "body": .body,
    ]

    var type: RuleType {
        switch self {
        case .method, .path, .tenant, .model, .version, .contentType, .body, .header, .query: .text
        case .priority, .bodySize: .integer
        case .json: .json
        case .tensor(_, let attribute):
            switch attribute {
            case .datatype: .text
            case .smallest, .largest: .number
            case .rank, .elements, .shape: .integer
            }
        }
    }
}

/// A step of a path into JSON.
enum PathStep: Equatable {
    case key([UInt8])
    case index(Int32)
}

/// Which tensor of the payload.
enum TensorName: Equatable {
    case name([UInt8])
    /// From 0 on.
    case index(Int32)
}

enum TensorAttribute: Equatable {
    case rank, elements, datatype
    case smallest, largest
    /// Negative counts from the end: -1 is the last dimension.
    case shape(Int32)

    static let words = ["shape", "rank", "elements", "datatype", "min", "max"]
}

/// The functions of the language itself.
enum BuiltIn: String, CaseIterable {
    case exists, lower, length, integer, number
}

/// What a value is, as far as it is known before there is a request. Every value but a literal's may be absent.
enum RuleType: Equatable {
    case boolean, integer, number, text, null
    /// Known at the request: text, number, boolean or null.
    case json

    var isNumeric: Bool { self == .integer || self == .number || self == .json }

    /// As the subject of a message.
    var description: String {
        switch self {
        case .boolean: "a condition"
        case .integer: "a whole number"
        case .number: "a number"
        case .text: "a text"
        case .null: "null"
        case .json: "a value of JSON"
        }
    }
}

extension Literal {
    var type: RuleType {
        switch self {
        case .text: .text
        case .integer: .integer
        case .number: .number
        case .boolean: .boolean
        case .null: .null
        }
    }
}

/// The name of an element type, by SLUICE_DATATYPE_*; nil where this host knows none.
func datatypeName(_ number: UInt32) -> StaticString? {
    switch number {
    case 1: "BOOL"
    case 2: "UINT8"
    case 3: "UINT16"
    case 4: "UINT32"
    case 5: "UINT64"
    case 6: "INT8"
    case 7: "INT16"
    case 8: "INT32"
    case 9: "INT64"
    case 10: "FP16"
    case 11: "FP32"
    case 12: "FP64"
    case 13: "BYTES"
    case 14: "BF16"
    default: nil
    }
}
