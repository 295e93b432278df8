import NearestName

/// Calls of the language's own functions and of native ones.
extension Compiler {
    mutating func call(
        _ name: String, _ arguments: [Expression], at offset: Int
    ) throws(SyntaxFault) -> RuleType {
        if let builtIn = BuiltIn(rawValue: name) { return try call(builtIn, arguments, at: offset) }
        guard let function = functions.first(where: { $0.name == name }) else {
            let known =
                functions.map(\.name) + BuiltIn.allCases.map(\.rawValue) + ["header", "query", "json", "tensor"]
            let advice = nearestName(to: name, among: known).map { "did you mean `\($0)`?" }
            throw SyntaxFault(
                offset, "no function is named `\(shown(name))`; \(advice ?? "declare it under `functions`")")
        }
        let parameters = function.signature.parameters
        guard arguments.count == parameters.count else {
            throw SyntaxFault(
                offset,
                "`\(name)` takes \(parameters.count) argument\(parameters.count == 1 ? "" : "s"), "
                    + "not \(arguments.count); its signature is under `functions`")
        }
        for (argument, parameter) in zip(arguments, parameters) { try pass(argument, to: parameter, of: name) }
        let index = used.firstIndex { $0.name == name } ?? used.count
        if index == used.count { used.append(function) }
        if arguments.isEmpty {
            try push(Instruction(.call, index: index), at: offset)
        } else {
            replace(arguments.count, by: Instruction(.call, index: index))
        }
        switch function.signature.result {
        case .bool: return .boolean
        case .f32, .f64: return .number
        default: return .integer
        }
    }

    private mutating func pass(
        _ argument: Expression, to parameter: NativeType, of name: String
    ) throws(SyntaxFault) {
        let type = try value(argument)
        let fits =
            switch parameter {
            case .bytes: type == .text || type == .json
            case .bool: type == .boolean || type == .json
            case .f32, .f64: type.isNumeric
            default: type == .integer || type == .json
            }
        guard !fits else { return }
        let remedy =
            !parameter.isFloat && type == .number
            ? "; write integer(…) around it" : type == .text ? "; write integer(…) or number(…) around it" : ""
        throw SyntaxFault(
            argument.offset, "`\(name)` takes \(parameter.rawValue) here, and this is \(type.description)\(remedy)")
    }

    private mutating func call(
        _ function: BuiltIn, _ arguments: [Expression], at offset: Int
    ) throws(SyntaxFault) -> RuleType {
        guard arguments.count == 1, let argument = arguments.first else {
            throw SyntaxFault(offset, "`\(function.rawValue)` takes one argument, not \(arguments.count)")
        }
        let type = try value(argument)
        let isText = type == .text || type == .json
        let fits: Bool
        let result: (instruction: Instruction.Operation, type: RuleType)
        switch function {
        case .exists: (fits, result) = (true, (.exists, .boolean))
        case .lower: (fits, result) = (isText, (.lower, .text))
        case .length: (fits, result) = (isText, (.length, .integer))
        case .integer: (fits, result) = (isText || type.isNumeric, (.toInteger, .integer))
        case .number: (fits, result) = (isText || type.isNumeric, (.toNumber, .number))
        }
        guard fits else {
            let wanted = function == .lower || function == .length ? "a text" : "a text or a number"
            throw SyntaxFault(
                argument.offset, "`\(function.rawValue)` takes \(wanted), and this is \(type.description)")
        }
        replace(1, by: Instruction(result.instruction))
        return result.type
    }
}
