import SluicePlugin

/// Where the prompt stands in a request's JSON body: the value of a top-level member, as it was written.
///
/// Nothing is decoded. Clients write what they have written before in the same way, so that a conversation's next
/// request begins with the same bytes as the last one; two ways to write one text are two texts here, and what is lost
/// is a hint.
public enum PromptText {
    /// The bytes of the value of the first top-level member that is one of `names`: of a text those between its quotes,
    /// of a list or an object all but its last bracket. Nil when there is none within `searchAtMost` bytes, or when
    /// what stands before it is no JSON.
    ///
    /// - Parameters:
    ///   - body: a JSON object.
    ///   - limit: bytes of the value that are looked at; it is cut there.
    ///   - searchAtMost: bytes of other members before it that are read over.
    public static func find(
        in body: Bytes, names: [KeptText], limit: Int, searchAtMost: Int = 65_536
    ) -> Bytes? {
        var reader = Reader(body)
        reader.skipSpace()
        guard reader.take(0x7B) else { return nil }
        while true {
            reader.skipSpace()
            guard reader.position <= searchAtMost, let key = reader.string(limit: searchAtMost), key.isWhole else {
                return nil
            }
            reader.skipSpace()
            guard reader.take(0x3A) else { return nil }
            reader.skipSpace()
            let isPrompt = names.contains { $0 == key.content }
            guard let value = reader.value(limit: isPrompt ? limit : searchAtMost) else { return nil }
            if isPrompt { return value.content }
            guard value.isWhole else { return nil }
            reader.skipSpace()
            guard reader.take(0x2C) else { return nil }
        }
    }

    private struct Reader {
        let bytes: Bytes
        var position = 0

        init(_ bytes: Bytes) { self.bytes = bytes }

        mutating func skipSpace() {
            while let byte = bytes.at(position), byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D {
                position &+= 1
            }
        }

        mutating func take(_ byte: UInt8) -> Bool {
            guard bytes.at(position) == byte else { return false }
            position &+= 1
            return true
        }

        /// What stands between quotes, escapes as they came.
        mutating func string(limit: Int) -> (content: Bytes, isWhole: Bool)? {
            guard take(0x22) else { return nil }
            let start = position
            let end = min(bytes.count, start + limit)
            let size = Self.closingQuote(bytes[start..<end])
            guard let size else {
                // All that may be looked at, or all there is of a text that does not end.
                return end == bytes.count ? nil : (bytes[start..<end], false)
            }
            position = start + size + 1
            return (bytes[start..<(start + size)], true)
        }

        /// Index of the quote that ends a string whose content begins `content`.
        private static func closingQuote(_ content: Bytes) -> Int? {
            content.withUnsafeBytes { memory in
                var index = 0
                while index < memory.count {
                    let byte = memory[index]
                    if byte == 0x22 { return index }
                    index &+= byte == 0x5C ? 2 : 1
                }
                return nil
            }
        }

        /// Any value. A number or a word has no content.
        mutating func value(limit: Int) -> (content: Bytes, isWhole: Bool)? {
            guard let first = bytes.at(position) else { return nil }
            if first == 0x22 { return string(limit: limit) }
            if first == 0x5B || first == 0x7B { return nested(limit: limit) }
            let start = position
            while let byte = bytes.at(position), byte != 0x2C, byte != 0x7D, byte > 0x20 { position &+= 1 }
            return position > start ? (Bytes(), true) : nil
        }

        /// A list or an object, up to its last bracket. That brackets are of a kind is not looked at.
        private mutating func nested(limit: Int) -> (content: Bytes, isWhole: Bool)? {
            let start = position
            let end = min(bytes.count, start + limit)
            let size: Int? = bytes[start..<end].withUnsafeBytes { memory in
                var depth = 0
                var isQuoted = false
                var index = 0
                while index < memory.count {
                    let byte = memory[index]
                    if isQuoted {
                        if byte == 0x5C { index &+= 1 }
                        if byte == 0x22 { isQuoted = false }
                    } else if byte == 0x22 {
                        isQuoted = true
                    } else if byte == 0x5B || byte == 0x7B {
                        depth &+= 1
                    } else if byte == 0x5D || byte == 0x7D {
                        depth &-= 1
                        if depth == 0 { return index }
                    }
                    index &+= 1
                }
                return nil
            }
            guard let size else { return end == bytes.count ? nil : (bytes[start..<end], false) }
            position = start + size + 1
            return (bytes[start..<(start + size)], true)
        }
    }
}
