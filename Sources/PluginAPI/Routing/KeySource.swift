import SluicePlugin

/// Where a request says who asks, so that a decision can stick to it.
public enum KeySource: Sendable {
    /// The value of a field of the request.
    case header(KeptText)
    case cookie(KeptText)
    /// The value of a parameter of the query as it stands there, percent-encoding kept.
    case query(KeptText)
    /// The path without the query, percent-encoding kept.
    case path
    /// What a filter that authenticates said.
    case tenant
    /// What an earlier router said.
    case session
    /// The client's address without its port. Behind another proxy that is the proxy's.
    case peer

    /// The key; nil where the request has none, or an empty one. Lives as long as the exchange, but for `session` which
    /// a router may replace.
    public func key(of request: Request, _ exchange: Exchange) -> Bytes? {
        let found: Bytes?
        switch self {
        case .header(let name): found = exchange.header(name)?.trimmed
        case .cookie(let name): found = name.withBytes { Cookies(request.message).value(of: $0) }
        case .query(let name): found = name.withBytes { Self.parameter($0, of: request.message.query) }
        case .path: found = request.message.path
        case .tenant: found = request.tenant
        case .session: found = request.session
        case .peer: found = Self.withoutPort(exchange.peer)
        }
        guard let found, !found.isEmpty else { return nil }
        return found
    }

    /// The value of the first parameter of that name, `a=1&b=2`.
    static func parameter(_ name: Bytes, of query: Bytes) -> Bytes? {
        var start = 0
        while start < query.count {
            let end = query.firstIndex(of: 0x26, from: start) ?? query.count
            let pair = query[start..<end]
            if pair.count > name.count, pair[name.count] == 0x3D, pair.hasPrefix(name) {
                return pair.dropFirst(name.count + 1)
            }
            start = end + 1
        }
        return nil
    }

    /// `127.0.0.1:5012` and `[::1]:5012` without the port; a Unix socket has none.
    static func withoutPort(_ peer: Bytes) -> Bytes {
        var end = peer.count
        while end > 0 {
            end -= 1
            switch peer[end] {
            case 0x3A: return peer.prefix(end)
            case 0x30...0x39: continue
            default: return peer
            }
        }
        return peer
    }
}

extension KeySource {
    /// Reads `{ header: x-user }`, `{ cookie: uid }`, `{ query: user }`, `{ path: true }`, `{ tenant: true }`,
    /// `{ session: true }` or `{ peer: true }`. Legal in `init` only.
    public init(_ config: Configuration) throws(PluginError) {
        let kinds = ["header", "cookie", "query", "path", "tenant", "session", "peer"]
        try config.allow(kinds)
        guard let (kind, value) = try config.members().first, config.count == 1 else {
            throw config.error("a key comes from one place: one of \(kinds.joined(separator: ", "))")
        }
        switch kind {
        case "header": self = .header(KeptText(try value.token("a header's name")))
        case "cookie": self = .cookie(KeptText(try value.token("a cookie's name")))
        case "query":
            let name = try value.text()
            if name.isEmpty { throw value.error("a parameter's name is not empty") }
            self = .query(KeptText(name))
        default:
            guard try value.boolean() else { throw value.error("expected true; leave the entry out for false") }
            switch kind {
            case "path": self = .path
            case "tenant": self = .tenant
            case "session": self = .session
            default: self = .peer
            }
        }
    }

    /// Reads one source, or a list of them in the order in which they are asked.
    public static func list(_ config: Configuration) throws(PluginError) -> [KeySource] {
        guard config.kind == .sequence else { return [try KeySource(config)] }
        var sources: [KeySource] = []
        for entry in try config.elements() { sources.append(try KeySource(entry)) }
        if sources.isEmpty { throw config.error("name at least one place that the key comes from") }
        return sources
    }
}

extension [KeySource] {
    /// The key of the first source that has one.
    @inlinable
    public func key(of request: Request, _ exchange: Exchange) -> Bytes? {
        for source in self {
            if let key = source.key(of: request, exchange) { return key }
        }
        return nil
    }
}

extension Configuration {
    /// This node as a token of HTTP: a name of a field or of a cookie (RFC 9110 section 5.6.2).
    public func token(_ what: String) throws(PluginError) -> String {
        let name = try text()
        guard KeptText(name).withBytes({ $0.isToken }) else {
            throw error("\(what) has letters, digits and !#$%&'*+-.^_`|~ alone, and at least one of them")
        }
        return name
    }

    /// The same for a field that a plugin sets.
    public func fieldName() throws(PluginError) -> String {
        let name = try token("a header's name")
        if KeptText(name).withBytes({ $0.isFieldOfConnection }) {
            throw error("only the gateway itself writes the field `\(name)`: it belongs to one connection")
        }
        return name
    }
}
