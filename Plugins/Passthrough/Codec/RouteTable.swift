import SluiceABI
import SluiceJSON

/// The routes of an instance, compiled from its configuration into memory of its own: matching allocates nothing.
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
    }

    /// A route as the configuration says it.
    public struct Rule {
        public var prefix = ""
        public var host = ""
        public var headerName = ""
        public var headerValue = ""
        public var model = ""
        public var version = ""

        public init() {}
    }

    private let entries: UnsafeMutableBufferPointer<Entry>
    private let text: UnsafeMutableBufferPointer<UInt8>

    public init(_ rules: [Rule]) {
        let texts = rules.flatMap { [$0.prefix, $0.host, $0.headerName, $0.headerValue, $0.model, $0.version] }
        text = .allocate(capacity: texts.reduce(0) { $0 + $1.utf8.count })
        entries = .allocate(capacity: rules.count)
        var used = 0
        func place(_ string: String) -> sluice_bytes {
            let size = string.utf8.count
            guard size > 0 else { return sluice_bytes() }
            let target = UnsafeMutableBufferPointer(rebasing: text[used..<used + size])
            _ = target.initialize(from: string.utf8)
            used += size
            return sluice_bytes(data: target.baseAddress, size: size)
        }
        for (index, rule) in rules.enumerated() {
            entries.initializeElement(
                at: index,
                to: Entry(
                    prefix: place(rule.prefix), host: place(rule.host), headerName: place(rule.headerName),
                    headerValue: place(rule.headerValue), model: place(rule.model), version: place(rule.version)))
        }
    }

    deinit {
        entries.deallocate()
        text.deallocate()
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

/// Segments `.` and `..` (RFC 3986 §5.2.4), with the dots, and the slashes around them, plain or percent-encoded, and
/// backslashes taken for slashes as some servers do.
enum DotSegment {
    static func occurs(in path: sluice_bytes) -> Bool {
        var dots = 0
        var others = 0
        var index = 0
        let bytes = path.buffer
        while index < bytes.count {
            var byte = bytes[index]
            var width = 1
            if byte == UInt8(ascii: "%"), bytes.count - index > 2, let high = bytes[index + 1].hexDigit,
                let low = bytes[index + 2].hexDigit
            {
                byte = high << 4 | low
                width = 3
            }
            index += width
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "\\"):
                if others == 0, dots == 1 || dots == 2 { return true }
                dots = 0
                others = 0
            case UInt8(ascii: "."): dots += 1
            default: others += 1
            }
        }
        return others == 0 && (dots == 1 || dots == 2)
    }
}
