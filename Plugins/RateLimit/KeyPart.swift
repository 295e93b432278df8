import SluiceHashing
import SluicePlugin
import SluiceRouting

/// One of the things by which a limit tells requests apart.
enum KeyPart {
    case source(KeySource)
    /// The model's name, when the gateway has it: names that clients make up share a bucket.
    case model

    private static let kinds = ["tenant", "model", "peer", "path"]

    /// `tenant`, `model`, `peer`, `path`, or `{ header: NAME }`, `{ cookie: NAME }`, `{ query: NAME }`.
    private init(_ node: Configuration) throws(PluginError) {
        if node.kind == .mapping {
            let source = try KeySource(node)
            // Routers say it, and filters come before them.
            if case .session = source { throw node.error("a session is not known yet when limits are looked at") }
            self = .source(source)
            return
        }
        switch try node.text() {
        case "tenant": self = .source(.tenant)
        case "peer": self = .source(.peer)
        case "path": self = .source(.path)
        case "model": self = .model
        case let other:
            throw node.error(
                "'\(other)' tells no requests apart: expected \(Self.kinds.joined(separator: ", ")), or"
                    + " { header: NAME }, { cookie: NAME } or { query: NAME }")
        }
    }

    /// One part or a list of them; none is a limit of all requests together.
    static func list(_ node: Configuration) throws(PluginError) -> [KeyPart] {
        if node.isNull { return [] }
        guard node.kind == .sequence else { return [try KeyPart(node)] }
        let entries = try node.elements()
        // Each is hashed for every request.
        if entries.count > 4 { throw entries[4].error("more than 4 parts of a key") }
        var parts: [KeyPart] = []
        for entry in entries { parts.append(try KeyPart(entry)) }
        return parts
    }

    /// As a text that differs for parts that differ.
    var description: String {
        switch self {
        case .model: "model"
        case .source(.header(let name)): "header:" + String(name).lowercased()
        case .source(.cookie(let name)): "cookie:" + String(name)
        case .source(.query(let name)): "query:" + String(name)
        case .source(.path): "path"
        case .source(.tenant): "tenant"
        case .source(.session): "session"
        case .source(.peer): "peer"
        }
    }

    /// What a request lacks is empty: all that lack it share a bucket.
    @inline(__always)
    func value(of request: Request, _ exchange: Exchange) -> Bytes {
        switch self {
        case .source(let source): source.key(of: request, exchange) ?? Bytes()
        case .model: request.modelID == nil ? Bytes() : request.model
        }
    }
}

extension KeyedHash {
    mutating func feed(_ bytes: Bytes) { bytes.withUnsafeBytes { feed($0) } }
}
