import AnswerStore
import SluicePlugin

/// Whether an answer may be kept, and for how long.
enum Storability {
    case never
    /// Seconds that it is old, that it stays fresh from now on, and that it may stand in for errors behind that.
    case fresh(age: UInt64, seconds: UInt64, stale: UInt64)

    /// - Parameters:
    ///   - limit: seconds that the operator lets an answer live.
    ///   - stale: seconds behind that for which it may stand in for an error.
    ///   - vary: fields of requests that are part of the key.
    init(_ response: Response, limit: UInt64, stale: UInt64, vary: [KeptText]) {
        self = .never
        guard let message = response.message else {
            // Made in this process, by a backend plugin or out of a batch.
            guard response.httpStatus == 0 || response.httpStatus == 200 else { return }
            var directives = AnswerDirectives()
            for field in response.fields where field.name.equalsIgnoringCase("cache-control") {
                directives.read(field.value)
            }
            keep(directives, age: 0, limit: limit, stale: stale)
            return
        }
        // A partial answer or a redirection is no answer to the same request (RFC 9111 §3). A message without a status
        // is one of raw TCP, whose success is the adapter's to judge: it has decoded it.
        guard message.status == 200 || message.status == 0 else { return }
        var directives = AnswerDirectives()
        var age: UInt64 = 0
        var expires = false
        for field in message.fields {
            let name = field.name
            if name.equalsIgnoringCase("cache-control") {
                directives.read(field.value)
            } else if name.equalsIgnoringCase("set-cookie") {
                // Somebody's own.
                return
            } else if name.equalsIgnoringCase("grpc-status") {
                // In the head of an answer it is the error of a call that has no message ("Trailers-Only").
                return
            } else if name.equalsIgnoringCase("vary") {
                guard Self.covers(field.value, vary) else { return }
            } else if name.equalsIgnoringCase("content-type") {
                guard !Self.isStream(field.value) else { return }
            } else if name.equalsIgnoringCase("expires") {
                expires = true
            } else if name.equalsIgnoringCase("age") {
                age = max(age, Self.seconds(field.value))
            }
        }
        // Clocks differ, and `max-age` goes before it (RFC 9111 §5.3): alone it says that the answer ends some time,
        // which may be before it has come.
        guard !expires || directives.freshness != nil else { return }
        keep(directives, age: age, limit: limit, stale: stale)
    }

    private mutating func keep(_ directives: AnswerDirectives, age: UInt64, limit: UInt64, stale: UInt64) {
        guard !directives.forbidsStoring else { return }
        var seconds = limit
        if let freshness = directives.freshness { seconds = min(seconds, freshness > age ? freshness - age : 0) }
        // RFC 9111 §4.2.4 says who forbids it.
        let stale = directives.forbidsStale ? 0 : min(stale, directives.staleIfError ?? .max)
        if seconds > 0 { self = .fresh(age: age, seconds: seconds, stale: stale) }
    }

    /// Whether each field that the answer depends on is part of the key (RFC 9110 §12.5.5).
    private static func covers(_ value: Bytes, _ vary: [KeptText]) -> Bool {
        var rest = value
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
            let name = rest.prefix(end).trimmed
            rest = rest.dropFirst(end + 1)
            if name.isEmpty { continue }
            guard vary.contains(where: { $0.equalsIgnoringCase(name) }) else { return false }
        }
        return true
    }

    /// Types whose bytes come as they are made.
    private static func isStream(_ value: Bytes) -> Bool {
        let type = value.prefix(value.firstIndex(of: UInt8(ascii: ";")) ?? value.count).trimmed
        return type.equalsIgnoringCase("text/event-stream") || type.equalsIgnoringCase("application/x-ndjson")
            || type.equalsIgnoringCase("application/jsonl") || type.equalsIgnoringCase("application/json-seq")
            || type.hasPrefixIgnoringCase("multipart/")
    }

    private static func seconds(_ value: Bytes) -> UInt64 {
        UInt64(clamping: min(max(value.trimmed.integer ?? 0, 0), 1 << 31))
    }
}
