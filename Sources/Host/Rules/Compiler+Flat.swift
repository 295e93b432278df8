/// From lists to memory that evaluation reads without a check or a reference count.
extension Compiler {
    func flatten() -> Program {
        var size = 0
        for case .literal(.text(let text)) in constants { size += text.count }
        for case .key(let key) in steps { size += key.count }
        let texts = UnsafeMutablePointer<UInt8>.allocate(capacity: max(size, 1))
        var end = texts
        func keep(_ text: [UInt8]) -> UnsafePointer<UInt8> {
            let start = end
            for byte in text {
                end.initialize(to: byte)
                end += 1
            }
            return UnsafePointer(start)
        }
        func place<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
            let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
            for (index, element) in elements.enumerated() { (memory + index).initialize(to: element) }
            return memory
        }
        let values = constants.map { constant -> Value in
            switch constant {
            case .index(let index): .integer(Int64(index))
            case .literal(.text(let text)): .text(keep(text), text.count)
            case .literal(.integer(let value)): .integer(value)
            case .literal(.number(let value)): .number(value)
            case .literal(.boolean(let value)): .boolean(value)
            case .literal(.null): Value(.null)
            }
        }
        let flatSteps = steps.map { step -> FlatStep in
            switch step {
            case .key(let key): FlatStep(key: keep(key), size: key.count)
            case .index(let index): FlatStep(key: nil, size: Int(index))
            }
        }
        return Program(
            code: place(fused), constants: place(values), steps: place(flatSteps),
            functions: place(used.map(FlatFunction.init)), texts: texts)
    }
}

extension Compiler {
    /// The code with each comparison of something to a constant as one step: most comparisons of most rules. Nothing
    /// moves, so that jumps stay as they are; one that leads to a comparison finds it where it was.
    private var fused: [Instruction] {
        var code = code
        for index in code.indices.dropLast() where code[index].operation == .constant {
            let comparison = code[index + 1]
            guard comparison.operation == .equal || comparison.operation == .notEqual else { continue }
            code[index].operation = comparison.operation == .equal ? .equalsConstant : .differsFromConstant
            code[index].ignoresCase = comparison.ignoresCase
        }
        return code
    }
}

extension FlatFunction {
    init(_ function: NativeFunction) {
        let types = function.signature.parameters
        func type(_ index: Int) -> NativeType { index < types.count ? types[index] : .i8 }
        self.init(
            call: function.call, context: function.context,
            parameters: (type(0), type(1), type(2), type(3), type(4), type(5), type(6), type(7)), count: types.count,
            result: function.signature.result)
    }
}
