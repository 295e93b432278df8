import SluiceABI

/// Keeps what the environment gave to a plugin's configuration out of what the plugin says of it. The host cannot know
/// what a plugin puts into its messages, but it knows what must not be in them.
struct Redaction {
    static let replacement = "what the environment gave"
    /// A shorter text is replaced only where no letter or digit stands beside it: `1` is not in `16`. Names and numbers
    /// that messages hold anyway are mostly shorter, passwords are longer.
    private static let wordBytes = 8

    /// Longest first: one may be part of another.
    private var secrets: [[UInt8]] = []

    var isEmpty: Bool { secrets.isEmpty }

    mutating func add(_ secret: String) {
        let bytes = Array(secret.utf8)
        guard !bytes.isEmpty, !secrets.contains(bytes) else { return }
        secrets.append(bytes)
        secrets.sort { $0.count > $1.count }
    }

    /// The message with each secret replaced, and quotes around it.
    func clean(_ message: String) -> String {
        guard !isEmpty else { return message }
        var rest = Array(message.utf8)[...]
        var result: [UInt8] = []
        while let byte = rest.first {
            if let secret = secrets.first(where: { rest.starts(with: $0) && Self.stands($0, in: rest, after: result) })
            {
                rest = rest.dropFirst(secret.count)
                if let quote = result.last, Self.quotes.contains(quote), rest.first == quote {
                    result.removeLast()
                    rest.removeFirst()
                }
                result += Self.replacement.utf8
            } else {
                result.append(byte)
                rest.removeFirst()
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// The message about a value that is a secret, without the parts of it that are quoted there: whoever reads a value
    /// piece by piece, as rules and templates are read, complains of a piece.
    func clean(_ message: String, about secret: String) -> String {
        let secret = Array(secret.utf8)
        var rest = Array(message.utf8)[...]
        var result: [UInt8] = []
        while let byte = rest.popFirst() {
            if Self.quotes.contains(byte), let end = rest.firstIndex(of: byte), end > rest.startIndex,
                Self.isPart(rest[..<end], of: secret)
            {
                result += Self.replacement.utf8
                rest = rest[(end + 1)...]
            } else {
                result.append(byte)
            }
        }
        return clean(String(decoding: result, as: UTF8.self))
    }

    private static let quotes = Array("'`\"".utf8)

    private static func isPart(_ text: ArraySlice<UInt8>, of secret: [UInt8]) -> Bool {
        secret.indices.contains { secret[$0...].starts(with: text) }
    }

    private static func stands(_ secret: [UInt8], in rest: ArraySlice<UInt8>, after before: [UInt8]) -> Bool {
        if secret.count >= wordBytes { return true }
        func isWord(_ byte: UInt8?) -> Bool {
            guard let byte else { return false }
            return byte >= 0x80 || (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte &- UInt8(ascii: "0") < 10
        }
        return !isWord(before.last) && !isWord(rest.dropFirst(secret.count).first)
    }
}
