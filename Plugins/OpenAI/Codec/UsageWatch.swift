import SluiceABI
import SluiceJSON

/// Reads the tokens off one answer as it streams by: a JSON text, or server-sent events of them. A plain value of some
/// hundred bytes, whatever the answer's size.
///
/// Servers that say `usage` more than once in a stream say sums so far, so the largest one counts. What has come is
/// taken with `takeNew` at any time: nobody has to know where the answer ends.
public struct UsageWatch: BitwiseCopyable {
    private var scanner = UsageScanner()
    private var stream = EventStream()
    private let isStream: Bool
    private var taken = TokenUsage()

    /// Nil for what is neither JSON nor an event stream.
    ///
    /// - Parameter contentType: the field's value.
    public init?(contentType: sluice_bytes) {
        var bytes = contentType.buffer[...]
        if let semicolon = bytes.firstIndex(of: UInt8(ascii: ";")) { bytes = bytes[..<semicolon] }
        while let last = bytes.last, last == 0x20 || last == 0x09 { bytes = bytes.dropLast() }
        while let first = bytes.first, first == 0x20 || first == 0x09 { bytes = bytes.dropFirst() }
        let type = contentType.slice(bytes.startIndex, bytes.count)
        isStream = type.equalsIgnoringCase(.literal("text/event-stream"))
        guard isStream || type.equalsIgnoringCase(.literal("application/json")) else { return nil }
    }

    public mutating func feed(_ bytes: sluice_bytes) {
        if isStream {
            stream.feed(bytes, to: &scanner)
        } else {
            scanner.feed(bytes)
        }
    }

    /// Tokens seen since the last call.
    public mutating func takeNew() -> TokenUsage {
        let new = scanner.seen.since(taken)
        taken = scanner.seen
        return new
    }

    /// The largest counts so far.
    public var seen: TokenUsage { scanner.seen }

    /// Events of a stream that have ended, `[DONE]` not among them: of an answer that streams about one for each token.
    public var events: UInt64 { stream.ended }

    /// Nothing that follows can say more. Not every stream says that it ends.
    public var isFinished: Bool {
        isStream ? stream.isDone || scanner.hasSeenLastEvent : scanner.isFinished
    }
}
