import Glibc
import SluiceABI

/// The machine that runs a compiled rule: a stack of values, one instruction after the other. Jumps lead forward alone,
/// so that each instruction runs at most once.
extension Program {
    func evaluate(_ view: RequestView) -> RuleOutcome {
        // 768 bytes: up to 1,024 lie on the stack.
        withUnsafeTemporaryAllocation(of: Value.self, capacity: RuleBounds.stack) { stack in
            run(view, stack.baseAddress.unsafelyUnwrapped)
        }
    }

    private func run(_ view: RequestView, _ stack: UnsafeMutablePointer<Value>) -> RuleOutcome {
        var next = UnsafePointer(code)
        // One below the first value; the place is never read.
        var top = stack - 1
        while true {
            let instruction = next.pointee
            next += 1
            switch instruction.operation {
            case .constant: push(constants[Int(instruction.index)], &top)
            case .method: push(view.method, &top)
            case .path: push(view.path, &top)
            case .tenant: push(view.tenant, &top)
            case .model: push(view.model, &top)
            case .version: push(view.version, &top)
            case .priority: push(view.priority, &top)
            case .header: push(view.header(constants[Int(instruction.index)]), &top)
            case .contentType: push(view.contentType(Self.contentTypeName), &top)
            case .bodySize, .body, .query, .json, .tensorRank, .tensorElements, .tensorDatatype, .tensorSmallest,
                .tensorLargest, .tensorShape:
                let value = read(instruction, view)
                if value.kind.rawValue >= Value.Kind.needsBody.rawValue { return stopped(value) }
                push(value, &top)
            case .negate: top.pointee = top.pointee.negated
            case .not: top.pointee = .boolean(!top.pointee.isTrue)
            case .exists: top.pointee = .boolean(top.pointee.kind != .absent)
            case .condition: top.pointee = .boolean(top.pointee.isTrue)
            case .length: top.pointee = top.pointee.kind == .text ? .integer(Int64(top.pointee.size)) : .absent
            case .lower:
                let value = top.pointee.lowercase(view)
                if value.kind == .noMemory { return .noMemory }
                top.pointee = value
            case .toInteger: top.pointee = top.pointee.asInteger
            case .toNumber: top.pointee = top.pointee.asNumber
            case .add, .subtract, .multiply, .divide, .remainder:
                top -= 1
                top.pointee = arithmetic(instruction.operation, top[0], top[1])
            case .equal:
                top -= 1
                top.pointee = .boolean(areEqual(top[0], top[1], instruction.ignoresCase))
            case .notEqual:
                top -= 1
                top.pointee = .boolean(!areEqual(top[0], top[1], instruction.ignoresCase))
            case .equalsConstant, .differsFromConstant:
                let isEqual = areEqual(top.pointee, constants[Int(instruction.index)], instruction.ignoresCase)
                let holds = isEqual == (instruction.operation == .equalsConstant)
                // Behind the comparison most often stands the jump that it decides: no value is made for that.
                let following = next[1]
                if following.operation == (holds ? .jumpIfFalse : .jumpIfTrue) {
                    top -= 1
                    next += 2
                } else {
                    top.pointee = .boolean(holds)
                    next += 1
                }
            case .less:
                top -= 1
                top.pointee = .boolean(order(top[0], top[1]) == -1)
            case .lessOrEqual:
                top -= 1
                top.pointee = .boolean(order(top[0], top[1]) <= 0)
            case .greater:
                top -= 1
                top.pointee = .boolean(order(top[0], top[1]) == 1)
            case .greaterOrEqual:
                top -= 1
                let order = order(top[0], top[1])
                top.pointee = .boolean(order == 0 || order == 1)
            case .startsWith, .endsWith, .contains:
                top -= 1
                top.pointee = .boolean(
                    test(instruction.operation, top[0], top[1], ignoresCase: instruction.ignoresCase))
            case .isIn: top.pointee = .boolean(isAmong(top.pointee, instruction))
            case .isNotIn: top.pointee = .boolean(!isAmong(top.pointee, instruction))
            case .jumpIfFalse:
                if top.pointee.isTrue { top -= 1 } else { next = UnsafePointer(code) + Int(instruction.index) }
            case .jumpIfTrue:
                if top.pointee.isTrue { next = UnsafePointer(code) + Int(instruction.index) } else { top -= 1 }
            case .call:
                let function = functions + Int(instruction.index)
                top -= function.pointee.count - 1
                let result = callNative(function, top)
                top.initialize(to: result)
            case .end: return top.pointee.isTrue ? .holds : .fails
            }
        }
    }

    @inline(__always)
    private func push(_ value: Value, _ top: inout UnsafeMutablePointer<Value>) {
        top += 1
        top.initialize(to: value)
    }

    private func stopped(_ value: Value) -> RuleOutcome { value.kind == .needsBody ? .needsBody : .noMemory }

    private static var contentTypeName: Value {
        let name: StaticString = "content-type"
        return .text(name.utf8Start, name.utf8CodeUnitCount)
    }

    // MARK: Fields that take longer

    @inline(never)
    private func read(_ instruction: Instruction, _ view: RequestView) -> Value {
        switch instruction.operation {
        case .bodySize: return view.bodySize
        case .body: return view.body
        case .query: return view.query(constants[Int(instruction.index)])
        case .json:
            let body = view.body
            guard body.kind == .text, let start = body.start else { return body.kind == .text ? .absent : body }
            return JSONLookup(start, body.size).find(
                steps + Int(instruction.index), Int(instruction.count), view)
        default:
            var missing = Value.absent
            guard let tensor = view.tensor(constants[Int(instruction.index)], missing: &missing) else {
                return missing
            }
            switch instruction.operation {
            case .tensorRank: return .integer(Int64(tensor.pointee.rank))
            case .tensorElements: return tensor.elements.map { .integer($0) } ?? .absent
            case .tensorDatatype:
                // A datatype that this host does not know has no name.
                guard let name = datatypeName(tensor.pointee.datatype) else { return .absent }
                return .text(name.utf8Start, name.utf8CodeUnitCount)
            case .tensorShape: return tensor.dimension(Int(instruction.count))
            case .tensorSmallest: return tensor.range(smallest: true)
            default: return tensor.range(smallest: false)
            }
        }
    }

    @inline(__always)
    private func isAmong(_ value: Value, _ instruction: Instruction) -> Bool {
        var item = constants + Int(instruction.index)
        let end = item + Int(instruction.count)
        while item < end {
            if areEqual(value, item.pointee, instruction.ignoresCase) { return true }
            item += 1
        }
        return false
    }
}

/// Calls a native function with `values`. Absent when one of them is absent or out of the parameter's range.
@inline(never)
private func callNative(_ function: UnsafePointer<FlatFunction>, _ values: UnsafePointer<Value>) -> Value {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2 * RuleBounds.parameters + 2) { cells in
        withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer?.self, capacity: 2 * RuleBounds.parameters) {
            pointers in
            let cell = cells.baseAddress.unsafelyUnwrapped
            let pointer = pointers.baseAddress.unsafelyUnwrapped
            var used = 0
            for index in 0..<function.pointee.count {
                let value = values[index]
                let type = function.pointee.parameter(index)
                if type == .bytes {
                    guard value.kind == .text else { return .absent }
                    (cell + used).initialize(to: value.bits)
                    (cell + used + 1).initialize(to: UInt64(value.size))
                    (pointer + used).initialize(to: cell + used)
                    (pointer + used + 1).initialize(to: cell + used + 1)
                    used &+= 2
                } else {
                    guard let bits = value.bits(as: type) else { return .absent }
                    (cell + used).initialize(to: bits)
                    (pointer + used).initialize(to: cell + used)
                    used &+= 1
                }
            }
            let result = cell + 2 * RuleBounds.parameters
            result.initialize(to: 0)
            (result + 1).initialize(to: 0)
            function.pointee.call(function.pointee.context, pointer, result)
            return Value(result.pointee, as: function.pointee.result)
        }
    }
}

extension FlatFunction {
    fileprivate func parameter(_ index: Int) -> NativeType {
        withUnsafeBytes(of: parameters) { $0.assumingMemoryBound(to: NativeType.self)[index] }
    }
}

extension Value {
    /// As the low bytes of a cell (both machines that Sluice runs on are little endian); nil when it does not fit.
    fileprivate func bits(as type: NativeType) -> UInt64? {
        switch type {
        case .f64: return isNumeric ? float.bitPattern : nil
        case .f32: return isNumeric ? UInt64(Float(float).bitPattern) : nil
        case .bool: return kind == .boolean ? bits : nil
        case .u64: return kind == .large || (kind == .integer && integer >= 0) ? bits : nil
        case .bytes: return nil
        default: break
        }
        guard kind == .integer else { return nil }
        let fits =
            switch type {
            case .i8: Int8(exactly: integer) != nil
            case .i16: Int16(exactly: integer) != nil
            case .i32: Int32(exactly: integer) != nil
            case .u8: UInt8(exactly: integer) != nil
            case .u16: UInt16(exactly: integer) != nil
            case .u32: UInt32(exactly: integer) != nil
            default: true
            }
        return fits ? bits : nil
    }

    /// What a function left in a cell.
    fileprivate init(_ cell: UInt64, as type: NativeType) {
        self =
            switch type {
            case .i8: .integer(Int64(Int8(truncatingIfNeeded: cell)))
            case .i16: .integer(Int64(Int16(truncatingIfNeeded: cell)))
            case .i32: .integer(Int64(Int32(truncatingIfNeeded: cell)))
            case .i64: .integer(Int64(bitPattern: cell))
            case .u8: .integer(Int64(UInt8(truncatingIfNeeded: cell)))
            case .u16: .integer(Int64(UInt16(truncatingIfNeeded: cell)))
            case .u32: .integer(Int64(UInt32(truncatingIfNeeded: cell)))
            case .u64: .unsigned(cell)
            case .f32: .number(Double(Float(bitPattern: UInt32(truncatingIfNeeded: cell))))
            case .f64: .number(Double(bitPattern: cell))
            case .bool: .boolean(UInt8(truncatingIfNeeded: cell) != 0)
            case .bytes: .absent
            }
    }
}
