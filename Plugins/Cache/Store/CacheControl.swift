import SluicePlugin

/// What `Cache-Control` says of a request (RFC 9111 §5.2.1), as far as a cache of answers heeds it.
public struct RequestDirectives: Equatable, Sendable {
    /// Neither answered from the cache nor kept.
    public var forbidsStoring = false
    /// Not answered from the cache.
    public var forbidsReuse = false
    /// Answered from the cache or not at all.
    public var onlyIfCached = false
    /// Seconds that an answer may be old.
    public var maxAge = UInt64.max

    public init() {}

    /// Reads one field's value. What is not known is passed over.
    public mutating func read(_ value: Bytes) {
        var reader = DirectiveReader(value)
        while let (name, argument) = reader.next() {
            if name.equalsIgnoringCase("no-store") {
                forbidsStoring = true
            } else if name.equalsIgnoringCase("no-cache") {
                forbidsReuse = true
            } else if name.equalsIgnoringCase("only-if-cached") {
                onlyIfCached = true
            } else if name.equalsIgnoringCase("max-age") {
                // One that cannot be read asks for something: 0 is the safe side (RFC 9111 §4.2.1).
                maxAge = min(maxAge, DirectiveReader.seconds(argument) ?? 0)
            }
        }
    }
}

/// What `Cache-Control` says of an answer (RFC 9111 §5.2.2), as far as a shared cache heeds it.
public struct AnswerDirectives: Equatable, Sendable {
    public var forbidsStoring = false
    /// Seconds that the answer is fresh, by `max-age`; and by `s-maxage`, which goes before it.
    public var maxAge: UInt64?
    public var sharedMaxAge: UInt64?
    /// Not used any more when it is stale, whatever else fails.
    public var forbidsStale = false
    /// Seconds for which it may be used in place of an error when it is stale (RFC 5861 §4).
    public var staleIfError: UInt64?

    public init() {}

    public var freshness: UInt64? { sharedMaxAge ?? maxAge }

    /// Reads one field's value.
    public mutating func read(_ value: Bytes) {
        var reader = DirectiveReader(value)
        while let (name, argument) = reader.next() {
            if name.equalsIgnoringCase("no-store") || name.equalsIgnoringCase("no-cache")
                || name.equalsIgnoringCase("private")
            {
                forbidsStoring = true
            } else if name.equalsIgnoringCase("max-age") {
                maxAge = min(maxAge ?? .max, DirectiveReader.seconds(argument) ?? 0)
            } else if name.equalsIgnoringCase("s-maxage") {
                sharedMaxAge = min(sharedMaxAge ?? .max, DirectiveReader.seconds(argument) ?? 0)
                // RFC 9111 §5.2.2.10: it says `proxy-revalidate`, too.
                forbidsStale = true
            } else if name.equalsIgnoringCase("must-revalidate") || name.equalsIgnoringCase("proxy-revalidate") {
                forbidsStale = true
            } else if name.equalsIgnoringCase("stale-if-error") {
                staleIfError = min(staleIfError ?? .max, DirectiveReader.seconds(argument) ?? 0)
            }
        }
    }
}

/// Takes a list of directives apart: `name`, `name=token`, `name="quoted, string"`, with commas between.
struct DirectiveReader {
    private var rest: Bytes

    init(_ value: Bytes) { rest = value }

    mutating func next() -> (name: Bytes, argument: Bytes)? {
        while !rest.isEmpty {
            let end = Self.end(of: rest)
            let item = rest.prefix(end).trimmed
            rest = rest.dropFirst(end + 1)
            guard !item.isEmpty else { continue }
            guard let equals = item.firstIndex(of: UInt8(ascii: "=")) else { return (item, Bytes()) }
            var argument = item.dropFirst(equals + 1).trimmed
            if argument.count >= 2, argument.first == 0x22, argument.at(argument.count - 1) == 0x22 {
                argument = argument.dropFirst().dropLast()
            }
            return (item.prefix(equals).trimmed, argument)
        }
        return nil
    }

    /// Where the item ends: at a comma that is in no quoted string (RFC 9110 §5.6.4).
    private static func end(of text: Bytes) -> Int {
        var isQuoted = false
        var index = 0
        while let byte = text.at(index) {
            if isQuoted, byte == UInt8(ascii: "\\") {
                index += 1
            } else if byte == 0x22 {
                isQuoted.toggle()
            } else if byte == UInt8(ascii: ","), !isQuoted {
                return index
            }
            index += 1
        }
        return text.count
    }

    /// Seconds (RFC 9111 §1.2.2): digits alone; more than 2^31 are as good as 2^31.
    static func seconds(_ text: Bytes) -> UInt64? {
        guard !text.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in text {
            guard byte &- 0x30 < 10 else { return nil }
            value = min(value * 10 + UInt64(byte &- 0x30), 1 << 31)
        }
        return value
    }
}
