import SluiceABI
import SluiceJSON

/// The routes of an instance, compiled from its configuration: matching allocates nothing.
///
/// Paths are compared as raw bytes, as they came and as they are sent on: nothing is decoded or normalised, so that
/// what was compared is what the backend gets. A path with a dot segment, also a percent-encoded one, is never matched
/// to a route with a prefix longer than "/": a backend that normalises would otherwise serve what lies outside of it.
public struct RouteTable: ~Copyable {
    /// A condition left out is empty.
    public struct Entry: BitwiseCopyable {
        public var prefix: sluice_bytes
        public var host: sluice_bytes
        public var headerName: sluice_bytes
        public var headerValue: sluice_bytes
        public var model: sluice_bytes
        public var version: sluice_bytes
        public var allowsWebSocket: Bool
    }

    /// A route as the configuration says it.
    public struct Rule {
        public var prefix = ""
        public var host = ""
        public var headerName = ""
        public var headerValue = ""
        public var model = ""
        public var version = ""
        public var allowsWebSocket = false

        public init() {}
    }

    private let entries: UnsafeMutableBufferPointer<Entry>

    public init(_ rules: [Rule]) {
        entries = .allocate(capacity: rules.count)
        for (index, rule) in rules.enumerated() {
            entries.initializeElement(
                at: index,
                to: Entry(
                    prefix: StaticText.keep(rule.prefix), host: StaticText.keep(rule.host),
                    headerName: StaticText.keep(rule.headerName), headerValue: StaticText.keep(rule.headerValue),
                    model: StaticText.keep(rule.model), version: StaticText.keep(rule.version),
                    allowsWebSocket: rule.allowsWebSocket))
        }
    }

    deinit {
        entries.deallocate()
    }

    /// The first route whose conditions all hold.
    public func match(_ message: sluice_message) -> Entry? {
        // Looked for at most once, and only where a prefix has matched.
        var hasDotSegment: Bool?
        for entry in entries {
            if !entry.prefix.isEmpty {
                guard message.path.hasPrefix(entry.prefix) else { continue }
                if entry.prefix.size > 1 {
                    let found = hasDotSegment ?? DotSegment.occurs(in: message.path)
                    hasDotSegment = found
                    if found { continue }
                }
            }
            if !entry.host.isEmpty, !Self.host(of: message.authority).equalsIgnoringCase(entry.host) {
                continue
            }
            if !entry.headerName.isEmpty, !Self.has(entry.headerName, entry.headerValue, message) {
                continue
            }
            return entry
        }
        return nil
    }

    /// The authority without its port (RFC 3986 §3.2); an IPv6 address keeps its brackets.
    private static func host(of authority: sluice_bytes) -> sluice_bytes {
        let bytes = authority.buffer
        guard let colon = bytes.lastIndex(of: UInt8(ascii: ":")) else { return authority }
        if let bracket = bytes.lastIndex(of: UInt8(ascii: "]")), bracket > colon {
            return authority
        }
        return authority.slice(0, colon)
    }

    /// Whether a field of that name has that value; an empty one is any.
    private static func has(_ name: sluice_bytes, _ value: sluice_bytes, _ message: sluice_message) -> Bool {
        guard let fields = message.fields else { return false }
        for index in 0..<Int(message.field_count) where fields[index].name.equalsIgnoringCase(name) {
            if value.isEmpty || fields[index].value.equals(value) {
                return true
            }
        }
        return false
    }
}
