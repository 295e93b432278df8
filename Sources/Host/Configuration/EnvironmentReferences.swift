/// `${NAME}` and `${NAME:-default}` in a scalar; `$${` stands for `${` itself. As in a POSIX shell (XCU 2.6.2) the
/// default also takes the place of a variable that is set to nothing.
struct EnvironmentReferences {
    let environment: [String: String]

    enum Outcome: Equatable {
        case unchanged
        /// `secret` when a part came from a variable: such text must not be shown in a message.
        case expanded(String, secret: Bool)
        /// What is wrong; the scalar's text is not part of it.
        case refused(String)
    }

    /// - Parameter limit: the bytes that the result may have.
    func expand(_ text: String, limit: Int) -> Outcome {
        let bytes = Array(text.utf8)
        guard containsOpening(bytes) else { return .unchanged }
        var result: [UInt8] = []
        var secret = false
        var index = 0
        while index < bytes.count {
            if starts(with: "$${", bytes, index) {
                result += "${".utf8
                index += 3
            } else if starts(with: "${", bytes, index) {
                guard let close = bytes[index...].firstIndex(of: UInt8(ascii: "}")) else {
                    return .refused("an environment reference lacks its `}`; to write `${` itself, write `$${`")
                }
                switch value(of: bytes[(index + 2)..<close]) {
                case .success(let value, let fromVariable):
                    result += value
                    secret = secret || fromVariable
                case .failure(let message): return .refused(message)
                }
                index = close + 1
            } else {
                result.append(bytes[index])
                index += 1
            }
            if result.count > limit { return .refused(Self.tooLong) }
        }
        return .expanded(String(decoding: result, as: UTF8.self), secret: secret)
    }

    static let tooLong =
        "aliases and environment references make more than \(Bounds.textBytes) bytes of text; repeat less of it"

    private enum Value {
        case success([UInt8], fromVariable: Bool)
        case failure(String)
    }

    private func value(of reference: ArraySlice<UInt8>) -> Value {
        let nameEnd = reference.firstIndex { !Self.isNameByte($0) } ?? reference.endIndex
        let nameBytes = reference[..<nameEnd]
        let rest = reference[nameEnd...]
        guard let first = nameBytes.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first),
            rest.isEmpty || rest.starts(with: ":-".utf8)
        else {
            return .failure(
                "an environment reference is `${NAME}` or `${NAME:-default}`; to write `${` itself, write `$${`")
        }
        let name = String(decoding: nameBytes, as: UTF8.self)
        let fallback = rest.isEmpty ? nil : Array(rest.dropFirst(2))
        if let fallback, containsOpening(fallback) {
            return .failure("the default of `${\(name):-…}` may not hold a reference of its own; set the variable")
        }
        switch (environment[name], fallback) {
        case (let value?, nil): return .success(Array(value.utf8), fromVariable: true)
        case (let value?, _) where !value.isEmpty: return .success(Array(value.utf8), fromVariable: true)
        case (_, let fallback?): return .success(fallback, fromVariable: false)
        case (nil, nil):
            return .failure(
                "the environment has no `\(name)`; set it, or give a default: `${\(name):-value}`")
        }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private func containsOpening(_ bytes: [UInt8]) -> Bool {
        bytes.indices.contains { starts(with: "${", bytes, $0) }
    }

    private func starts(with prefix: StaticString, _ bytes: [UInt8], _ index: Int) -> Bool {
        guard index + prefix.utf8CodeUnitCount <= bytes.count else { return false }
        for offset in 0..<prefix.utf8CodeUnitCount where bytes[index + offset] != prefix.utf8Start[offset] {
            return false
        }
        return true
    }
}
