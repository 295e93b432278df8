import SluicePlugin
import SluiceRouting

/// A field's value as the configuration writes it: literal text and `$(…)` for what the request or response says; `$$`
/// is one dollar sign. (`${…}` is the configuration's own and means the environment.)
struct Template {
    enum Part {
        case literal(KeptText)
        case tenant, model, version, peer, peerAddress, requestID, session, priority, method, path, host, status
        /// A field of the received request.
        case header(KeptText)
    }

    private(set) var parts: [Part] = []

    static let names: [(String, Part)] = [
        ("tenant", .tenant), ("model", .model), ("version", .version), ("peer", .peer),
        ("peer_address", .peerAddress), ("request_id", .requestID), ("session", .session), ("priority", .priority),
        ("method", .method), ("path", .path), ("host", .host), ("status", .status),
    ]

    /// All of it, when it has no reference.
    let literal: KeptText?

    /// Whether the answer has to be there before it can be written.
    var needsResponse: Bool {
        parts.contains { part in
            switch part {
            case .model, .version, .status: true
            default: false
            }
        }
    }

    /// Whether it says more once the body was read: an id may stand there.
    var namesID: Bool {
        parts.contains { part in
            if case .requestID = part { true } else { false }
        }
    }

    // MARK: Reading

    init(_ config: Configuration, ofResponse: Bool) throws(PluginError) {
        let text = Array(try config.text().utf8)
        var literal: [UInt8] = []
        var index = 0
        while index < text.count {
            let byte = text[index]
            let next = index + 1 < text.count ? text[index + 1] : 0
            if byte == UInt8(ascii: "$"), next == UInt8(ascii: "$") {
                literal.append(byte)
                index += 2
            } else if byte == UInt8(ascii: "$"), next == UInt8(ascii: "(") {
                guard let close = text[index...].firstIndex(of: UInt8(ascii: ")")) else {
                    throw config.error("a reference lacks its `)`; to write `$` itself, write `$$`")
                }
                Self.flush(&literal, into: &parts)
                let name = String(decoding: text[(index + 2)..<close], as: UTF8.self)
                parts.append(try Self.part(name, config, ofResponse: ofResponse))
                index = close + 1
            } else {
                literal.append(byte)
                index += 1
            }
        }
        if !literal.isEmpty || parts.isEmpty { Self.flush(&literal, into: &parts) }
        if parts.count == 1, case .literal(let text) = parts[0] { self.literal = text } else { self.literal = nil }
        for case .literal(let text) in parts {
            let isText = text.withBytes { bytes in !bytes.contains { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F } }
            if !isText { throw config.error("a field's value has no control characters: put them out") }
        }
        if let text = self.literal, !text.withBytes({ $0.isFieldValue }) {
            throw config.error("a field's value neither begins nor ends with white space: put it out")
        }
    }

    private static func flush(_ literal: inout [UInt8], into parts: inout [Part]) {
        if literal.isEmpty, !parts.isEmpty { return }
        parts.append(.literal(KeptText(String(decoding: literal, as: UTF8.self))))
        literal = []
    }

    private static func part(
        _ name: String, _ config: Configuration, ofResponse: Bool
    ) throws(PluginError) -> Part {
        if name.hasPrefix("header:") {
            let field = String(name.dropFirst(7))
            guard KeptText(field).withBytes({ $0.isToken }) else {
                throw config.error("'\(field)' is no header's name: write `$(header:x-name)`")
            }
            return .header(KeptText(field))
        }
        guard let found = names.first(where: { $0.0 == name }) else {
            let known = names.map { "$(\($0.0))" }.joined(separator: ", ")
            throw config.error("'$(\(name))' is not known; known are \(known) and $(header:NAME)")
        }
        if case .status = found.1, !ofResponse {
            throw config.error("a request has no $(status): use it in a field of the response")
        }
        return found.1
    }

    // MARK: Writing

    /// Writes the value. `response` is nil on the way to the endpoint, where model and version are those asked for.
    func write(_ request: Request, _ response: Response?, _ exchange: Exchange, to writer: inout ByteWriter) {
        for part in parts {
            switch part {
            case .literal(let text): text.withBytes { writer.append($0) }
            case .tenant: writer.append(request.tenant)
            case .model: writer.append(response?.model ?? request.model)
            case .version: writer.append(response?.version ?? request.version)
            case .peer: writer.append(exchange.peer)
            case .peerAddress: writer.append(KeySource.peer.key(of: request, exchange) ?? Bytes())
            case .requestID:
                let id = request.id.isEmpty ? exchange.header(Bytes("x-request-id")) : request.id
                writer.append(id ?? Bytes())
            case .session: writer.append(request.session)
            case .priority: writer.append(decimal: UInt64(request.priority))
            case .method: writer.append(request.message.method)
            case .path: writer.append(request.message.path)
            case .host: writer.append(request.message.authority)
            case .status:
                let status = response.map { $0.message?.status ?? ($0.httpStatus == 0 ? 200 : $0.httpStatus) }
                writer.append(decimal: UInt64(status ?? 0))
            case .header(let name): writer.append(exchange.header(name) ?? Bytes())
            }
        }
    }
}
