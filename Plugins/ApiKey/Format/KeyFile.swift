/// A file of keys: a line each, the key, blanks and its tenant. `#` begins a line that says nothing, as an empty one
/// does.
///
///     # made with: printf %s "$KEY" | sha256sum
///     sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b acme
public struct KeyFile: Sendable {
    public struct Entry: Equatable, Sendable {
        public let key: GivenKey
        public let tenant: String
        /// From 1 on.
        public let line: Int
    }

    public struct Problem: Error, Equatable, Sendable {
        public let line: Int
        /// Holds no part of the file.
        public let text: String

        public init(line: Int, text: String) {
            self.line = line
            self.text = text
        }
    }

    public let entries: [Entry]

    /// 4 MiB hold 65,536 entries of digests with names of some length.
    public static let bytesAtMost = 4 << 20

    public init(_ bytes: [UInt8], entriesAtMost: Int) throws(Problem) {
        var entries: [Entry] = []
        var number = 0
        // Some editors begin a file with the mark of UTF-8 (RFC 3629 §6), which nobody sees: it is no part of a key.
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let bytes = bytes.starts(with: mark) ? bytes.dropFirst(mark.count) : bytes[...]
        for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false) {
            number += 1
            var rest = line
            while let last = rest.last, Self.isBlank(last) { rest = rest.dropLast() }
            rest = rest.drop(while: Self.isBlank)
            guard let first = rest.first, first != UInt8(ascii: "#") else { continue }
            let key = rest.prefix { !Self.isBlank($0) }
            let tenant = rest.dropFirst(key.count).drop(while: Self.isBlank)
            if tenant.isEmpty {
                throw Problem(line: number, text: "expected a key, a blank and the name of its tenant")
            }
            guard let name = String(validating: tenant, as: UTF8.self), tenant.allSatisfy({ $0 >= 0x20 && $0 != 0x7F })
            else { throw Problem(line: number, text: "a tenant's name is text in UTF-8 without control characters") }
            if entries.count == entriesAtMost {
                throw Problem(line: number, text: "more than \(entriesAtMost) keys")
            }
            do throws(GivenKey.Problem) {
                entries.append(Entry(key: try GivenKey(key), tenant: name, line: number))
            } catch {
                throw Problem(line: number, text: error.text)
            }
        }
        self.entries = entries
    }

    /// Also the CR of lines that end in CR LF.
    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0D }
}
