import SluiceABI
import SluiceJSON

/// What a JSON value is as a tensor, found by a first reading: the protocol gives neither shape nor datatype.
struct ValueProfile {
    private(set) var shape: InlineArray<16, Int64> = .init(repeating: -1)
    /// Depth of the deepest array, -1 without one.
    private var deepestArray = -1
    /// Depth of the leaves, -1 before the first one.
    private var leafDepth = -1
    private var hasInteger = false
    private var hasNegative = false
    /// An integer that only UINT64 can hold.
    private var hasLarge = false
    private var hasFloat = false
    /// An integer that none of 64 bits can hold.
    private var hasHuge = false
    private var hasBool = false
    private var hasText = false

    var rank: Int { deepestArray + 1 }

    /// Reads one value. May be called again with others that must have the same shape.
    ///
    /// - Parameters:
    ///   - maximumRank: at most 16.
    ///   - acceptsNull: null stands for a number that JSON cannot say.
    mutating func add(
        _ json: inout JSONReader, maximumRank: Int, acceptsNull: Bool, name: sluice_bytes
    ) throws(CodecFailure) {
        try add(&json, 0, maximumRank, acceptsNull, name)
    }

    private mutating func add(
        _ json: inout JSONReader, _ depth: Int, _ maximumRank: Int, _ acceptsNull: Bool, _ name: sluice_bytes
    ) throws(CodecFailure) {
        let kind = try json.peek()
        if kind == .array {
            guard depth < maximumRank else {
                throw CodecFailure(
                    "there are too many arrays inside each other, in", subject: name, offset: json.offset)
            }
            guard leafDepth < 0 || depth < leafDepth else { throw ragged(json, name) }
            deepestArray = max(deepestArray, depth)
            try json.beginArray()
            var isFirst = true
            var count: Int64 = 0
            while try json.nextElement(&isFirst) {
                try add(&json, depth + 1, maximumRank, acceptsNull, name)
                count += 1
            }
            if shape[depth] < 0 {
                shape[depth] = count
            }
            guard shape[depth] == count else { throw ragged(json, name) }
            return
        }
        guard depth > deepestArray, leafDepth < 0 || leafDepth == depth else { throw ragged(json, name) }
        leafDepth = depth
        switch kind {
        case .number:
            let number = try json.number()
            if let value = number.asInt64 {
                hasInteger = true
                hasNegative = hasNegative || value < 0
            } else if number.asUInt64 != nil {
                hasInteger = true
                hasLarge = true
            } else if number.isInteger {
                hasHuge = true
            } else {
                hasFloat = true
            }
        case .true, .false:
            _ = try json.boolean()
            hasBool = true
        case .string, .object:
            // An object must be {"b64": …}, which the second reading checks.
            try json.skip()
            hasText = true
        case .null:
            guard acceptsNull else {
                throw CodecFailure("null has no place in a tensor, in", subject: name, offset: json.offset)
            }
            try json.null()
            hasFloat = true
        case .array: break
        }
    }

    private func ragged(_ json: JSONReader, _ name: sluice_bytes) -> CodecFailure {
        CodecFailure("the arrays are not all of one shape, in", subject: name, offset: json.offset)
    }

    /// The datatype that holds all the values.
    ///
    /// - Parameters:
    ///   - float: for numbers with a fraction or exponent, and where there are no values.
    ///   - isRequest: refuses integers that would be rounded. Among numbers with a fraction one that is written without
    ///     is such a number, too, and a server may write all of them so.
    func datatype(float: Datatype, isRequest: Bool, name: sluice_bytes) throws(CodecFailure) -> Datatype {
        let hasNumber = hasInteger || hasFloat || hasHuge
        guard (hasNumber ? 1 : 0) + (hasBool ? 1 : 0) + (hasText ? 1 : 0) <= 1 else {
            throw CodecFailure("numbers, booleans and texts are mixed, in", subject: name)
        }
        if hasText {
            return .bytes
        }
        if hasBool {
            return .bool
        }
        let isBeyond = hasHuge || hasLarge && hasNegative
        guard hasInteger || hasHuge, !hasFloat, isRequest || !isBeyond else { return float }
        guard !isBeyond else {
            throw CodecFailure("the integers do not fit in 64 bits, in", subject: name)
        }
        return hasLarge ? .uint64 : .int64
    }

    /// The shape in the arena, behind a dimension for rows where there is one.
    func shape(rows: Int64?, arena: ExchangeArena) throws(CodecFailure) -> UnsafeBufferPointer<Int64> {
        let first = rows == nil ? 0 : 1
        let result = try arena.allocate(Int64.self, count: rank + first)
        if let rows {
            result[0] = rows
        }
        for index in 0..<rank {
            // An array that was never reached lies in an empty one.
            result[first + index] = max(shape[index], 0)
        }
        return UnsafeBufferPointer(start: result, count: rank + first)
    }
}
