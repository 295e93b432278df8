import SluiceABI
import SluiceJSON

/// A key and what it holds.
public struct EtcdEntry: Equatable, Sendable {
    public var key: [UInt8]
    public var value: [UInt8]
    /// Of its last change.
    public var revision: Int64

    public init(key: [UInt8], value: [UInt8], revision: Int64) {
        self.key = key
        self.value = value
        self.revision = revision
    }
}

/// The answer to a question for keys.
public struct EtcdRange: Equatable, Sendable {
    /// Of the whole store, when the question was answered.
    public var revision: Int64 = 0
    public var entries: [EtcdEntry] = []
    /// All keys that there are, whether they are in `entries` or not.
    public var count: Int64 = 0
    public var hasMore = false

    public static func read(_ text: [UInt8]) throws(EtcdFault) -> EtcdRange {
        try EtcdText.read(text) { reader throws(CodecFailure) in
            var range = EtcdRange()
            try reader.object { key, reader throws(CodecFailure) in
                switch key {
                case "header": range.revision = try reader.revision()
                case "kvs":
                    try reader.array { reader throws(CodecFailure) in
                        let entry = try reader.entry()
                        range.entries.append(entry)
                    }
                case "count": range.count = try reader.long()
                case "more": range.hasMore = try reader.boolean()
                default: _ = try reader.skip()
                }
            }
            return range
        }
    }
}

/// One line of a watch.
public enum EtcdWatchMessage: Equatable, Sendable {
    /// The watch stands.
    case created
    case events([EtcdEvent])
    /// etcd ends the watch. `compacted` above 0: what came before that revision is forgotten.
    case cancelled(compacted: Int64, reason: String)

    public static func read(_ line: [UInt8]) throws(EtcdFault) -> EtcdWatchMessage {
        let read = try EtcdText.read(line) { reader throws(CodecFailure) in
            var read = Parts()
            try reader.object { key, reader throws(CodecFailure) in
                switch key {
                case "result": try read.take(&reader)
                case "error": read.error = try reader.complaint()
                default: _ = try reader.skip()
                }
            }
            return read
        }
        if let error = read.error { throw EtcdFault(error) }
        if read.isCancelled { return .cancelled(compacted: read.compacted, reason: read.reason) }
        return read.isCreated ? .created : .events(read.events)
    }

    private struct Parts {
        var isCreated = false
        var isCancelled = false
        var compacted: Int64 = 0
        var reason = ""
        var events: [EtcdEvent] = []
        var error: String?

        mutating func take(_ reader: inout JSONReader) throws(CodecFailure) {
            var parts = self
            try reader.object { key, reader throws(CodecFailure) in
                switch key {
                case "created": parts.isCreated = try reader.boolean()
                case "canceled": parts.isCancelled = try reader.boolean()
                case "compact_revision": parts.compacted = try reader.long()
                case "cancel_reason": parts.reason = EtcdFault.shown(try reader.string().buffer)
                case "events":
                    try reader.array { reader throws(CodecFailure) in
                        let event = try EtcdEvent.read(&reader)
                        parts.events.append(event)
                    }
                default: _ = try reader.skip()
                }
            }
            self = parts
        }
    }
}

/// A change of a key.
public enum EtcdEvent: Equatable, Sendable {
    case put(EtcdEntry)
    /// By somebody, or since its lease has ended.
    case deleted(key: [UInt8], revision: Int64)

    fileprivate static func read(_ reader: inout JSONReader) throws(CodecFailure) -> EtcdEvent {
        var isDeleted = false
        var entry: EtcdEntry?
        try reader.object { key, reader throws(CodecFailure) in
            switch key {
            // PUT is what proto3 leaves out; numbers are allowed for names.
            case "type":
                if try reader.peek() == .number {
                    isDeleted = try reader.integer() == 1
                } else {
                    isDeleted = try reader.string().buffer.elementsEqual("DELETE".utf8)
                }
            case "kv": entry = try reader.entry()
            default: _ = try reader.skip()
            }
        }
        guard let entry else { throw CodecFailure("an event names no key") }
        return isDeleted ? .deleted(key: entry.key, revision: entry.revision) : .put(entry)
    }
}

/// Other answers.
public enum EtcdText {
    /// What `authenticate` gives.
    public static func token(_ text: [UInt8]) throws(EtcdFault) -> String {
        let token = try read(text) { reader throws(CodecFailure) in
            var token = ""
            try reader.object { key, reader throws(CodecFailure) in
                if key == "token" {
                    token = String(decoding: try reader.string().buffer, as: UTF8.self)
                } else {
                    _ = try reader.skip()
                }
            }
            return token
        }
        // It becomes the value of a field.
        guard !token.isEmpty, token.utf8.count <= 4_096, token.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
            throw EtcdFault("etcd gave no token")
        }
        return token
    }

    /// Why a request failed, from the body of an answer that is not 200.
    public static func complaint(_ text: [UInt8], status: UInt16) -> String {
        let said = try? read(text) { reader throws(CodecFailure) in
            var said = ""
            try reader.object { key, reader throws(CodecFailure) in
                if key == "error" || key == "message" { said = try reader.complaint() } else { _ = try reader.skip() }
            }
            return said
        }
        guard let said, !said.isEmpty else { return "it answers with status \(status)" }
        return "it answers with status \(status), \(said)"
    }

    fileprivate static func read<Value>(
        _ text: [UInt8], _ body: (inout JSONReader) throws(CodecFailure) -> Value
    ) throws(EtcdFault) -> Value {
        do throws(CodecFailure) {
            // Texts with escapes are copied, and so take no more than the whole.
            return try PrivateArena(limit: text.count + 1_024).read(text, body)
        } catch { throw EtcdFault("an answer cannot be read: \(error.reason) at byte \(error.offset)") }
    }
}

extension JSONReader {
    /// Each key of an object with the reader before its value.
    fileprivate mutating func object(
        _ member: (String, inout JSONReader) throws(CodecFailure) -> Void
    ) throws(CodecFailure) {
        try beginObject()
        var isFirst = true
        while let key = try nextKey(&isFirst) { try member(String(decoding: key.buffer, as: UTF8.self), &self) }
    }

    fileprivate mutating func array(
        _ element: (inout JSONReader) throws(CodecFailure) -> Void
    ) throws(CodecFailure) {
        try beginArray()
        var isFirst = true
        while try nextElement(&isFirst) { try element(&self) }
    }

    /// A 64-bit number, which may be a text (the JSON mapping of proto3).
    fileprivate mutating func long() throws(CodecFailure) -> Int64 {
        if try peek() == .number { return try integer() }
        guard let number = Int64(String(decoding: try string().buffer, as: UTF8.self)) else {
            throw CodecFailure("expected a whole number", offset: offset)
        }
        return number
    }

    fileprivate mutating func octets() throws(CodecFailure) -> [UInt8] {
        let text = try string()
        var size: Int?
        let decoded = [UInt8](unsafeUninitializedCapacity: text.size / 4 * 3 + 3) { buffer, count in
            size = buffer.baseAddress.flatMap { Base64.decode(text, to: $0) }
            count = size ?? 0
        }
        guard size != nil else { throw CodecFailure("expected bytes in base 64", offset: offset) }
        return decoded
    }

    fileprivate mutating func revision() throws(CodecFailure) -> Int64 {
        var revision: Int64 = 0
        try object { key, reader throws(CodecFailure) in
            if key == "revision" { revision = try reader.long() } else { _ = try reader.skip() }
        }
        return revision
    }

    fileprivate mutating func entry() throws(CodecFailure) -> EtcdEntry {
        var entry = EtcdEntry(key: [], value: [], revision: 0)
        try object { key, reader throws(CodecFailure) in
            switch key {
            case "key": entry.key = try reader.octets()
            case "value": entry.value = try reader.octets()
            case "mod_revision": entry.revision = try reader.long()
            default: _ = try reader.skip()
            }
        }
        guard !entry.key.isEmpty else { throw CodecFailure("a key is empty", offset: offset) }
        return entry
    }

    /// The text of an error, which may stand in an object of its own.
    fileprivate mutating func complaint() throws(CodecFailure) -> String {
        switch try peek() {
        case .string: return EtcdFault.shown(try string().buffer)
        case .object:
            var said = "an error without a text"
            try object { key, reader throws(CodecFailure) in
                if key == "message", try reader.peek() == .string {
                    said = EtcdFault.shown(try reader.string().buffer)
                } else {
                    _ = try reader.skip()
                }
            }
            return said
        default:
            _ = try skip()
            return "an error without a text"
        }
    }
}
