/// One step of a compiled rule. The meaning of `count` and `index` is the operation's.
struct Instruction {
    enum Operation: UInt8 {
        /// Pushes `constants[index]`.
        case constant
        // Push a field. `header`, `query` and tensors by name: `constants[index]` is the name.
        case method, path, tenant, model, version, priority, contentType, bodySize, body
        case header, query
        /// `count` steps from `steps[index]`.
        case json
        /// `count` has the dimension of `tensorShape`; the name's constant is a text or an index.
        case tensorRank, tensorElements, tensorDatatype, tensorSmallest, tensorLargest, tensorShape
        // Replace the top.
        case negate, not, exists, lower, length, toInteger, toNumber
        /// A value of JSON as a condition: true when it is `true`.
        case condition
        // Replace the two on top.
        case add, subtract, multiply, divide, remainder
        case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, startsWith, endsWith, contains
        /// Puts in place of the top whether it equals `constants[index]`, or does not. The comparison that the constant
        /// was pushed for is the instruction behind, and is passed over.
        case equalsConstant, differsFromConstant
        /// Whether the top is among `count` constants from `index` on.
        case isIn, isNotIn
        /// Goes on at `code[index]` with the top as it is when it is false (true), else takes it off.
        case jumpIfFalse, jumpIfTrue
        /// Replaces the arguments on top by the result of `functions[index]`.
        case call
        /// The top says whether the rule holds.
        case end
    }

    var operation: Operation
    /// Of a comparison of texts: ASCII letters compare without their case.
    var ignoresCase: Bool
    var count: Int16
    var index: Int32

    init(_ operation: Operation, ignoresCase: Bool = false, count: Int = 0, index: Int = 0) {
        self.operation = operation
        self.ignoresCase = ignoresCase
        self.count = Int16(truncatingIfNeeded: count)
        self.index = Int32(truncatingIfNeeded: index)
    }
}

/// A step of a path into JSON, flat.
struct FlatStep {
    /// Nil for an index.
    var key: UnsafePointer<UInt8>?
    /// Bytes of the key, or the index.
    var size: Int
}

/// A native function as a rule calls it.
struct FlatFunction {
    var call: NativeFunction.Call
    var context: UnsafeMutableRawPointer?
    /// `NativeType`s.
    var parameters: (NativeType, NativeType, NativeType, NativeType, NativeType, NativeType, NativeType, NativeType)
    var count: Int
    var result: NativeType
}

/// A compiled rule: flat memory that is never changed after it was made, so every thread may evaluate it.
struct Program {
    let code: UnsafeMutablePointer<Instruction>
    let constants: UnsafeMutablePointer<Value>
    let steps: UnsafeMutablePointer<FlatStep>
    let functions: UnsafeMutablePointer<FlatFunction>
    /// The bytes of constants and keys.
    let texts: UnsafeMutablePointer<UInt8>

    func deallocate() {
        code.deallocate()
        constants.deallocate()
        steps.deallocate()
        functions.deallocate()
        texts.deallocate()
    }
}

/// What a rule came to for one request.
public enum RuleOutcome: UInt8, Sendable {
    case fails
    case holds
    /// Ask again when the body is decoded: what it reads decides.
    case needsBody
    /// The exchange's bound on memory is reached.
    case noMemory
}

/// A rule that was compiled, checked and made flat. Evaluation reads it only: all workers may share one.
public final class Rule: @unchecked Sendable {
    /// Evaluation may answer `needsBody`. It does so only where the fields of the head leave the outcome open.
    public let mayNeedBody: Bool
    /// It calls native functions.
    public let callsFunctions: Bool
    private let program: UnsafeMutablePointer<Program>

    init(_ program: Program, mayNeedBody: Bool, callsFunctions: Bool) {
        self.program = .allocate(capacity: 1)
        self.program.initialize(to: program)
        self.mayNeedBody = mayNeedBody
        self.callsFunctions = callsFunctions
    }

    deinit {
        program.pointee.deallocate()
        program.deallocate()
    }

    /// Compiles a rule.
    /// - Parameter functions: those that it may call, their contexts living as long as the rule. Names are unique.
    public convenience init(_ text: String, functions: [NativeFunction] = []) throws(RuleError) {
        let bytes = Array(text.utf8)
        do throws(SyntaxFault) {
            let made = try Compiler.compile(try Parser.parse(bytes), functions: functions)
            self.init(made.program, mayNeedBody: made.mayNeedBody, callsFunctions: made.callsFunctions)
        } catch {
            throw error.error(in: bytes)
        }
    }

    /// The compiled form, for callers that keep no reference: valid as long as this object.
    public var handle: UnsafeRawPointer { UnsafeRawPointer(program) }

    /// Evaluates a rule by its handle. Allocates nothing but from the view's memory, and only for texts that must be
    /// unescaped. On a worker.
    @inline(__always)
    public static func evaluate(_ handle: UnsafeRawPointer, _ view: RequestView) -> RuleOutcome {
        handle.assumingMemoryBound(to: Program.self).pointee.evaluate(view)
    }

    public func evaluate(_ view: RequestView) -> RuleOutcome {
        withExtendedLifetime(self) { program.pointee.evaluate(view) }
    }
}
