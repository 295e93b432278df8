/// A request's method. Names are case-sensitive (RFC 9110 §9.1): `get` is `.other`.
public enum Method: UInt8, Sendable {
    case other, get, head, post, put, delete, options, patch, trace, connect
}

/// How the end of a message's content is found (RFC 9112 §6.3).
public enum BodyFraming: Equatable, Sendable {
    /// There is none, and no field says so.
    case none
    /// So many bytes, 0 to `Int.max`.
    case length(UInt64)
    case chunked
    /// Until the connection closes; responses only.
    case untilClose
}

/// What the Upgrade field asks for, if Connection nominates it. It is hop-by-hop, so unless the gateway itself acts
/// on it the request goes on as if it were not there.
public enum Upgrade: UInt8, Sendable {
    case none, websocket
    /// HTTP/2 by upgrade. RFC 9113 §3.1 has withdrawn it; it must never reach a backend.
    case h2c
    case other
}

/// A parsed request head: views into the caller's bytes, valid as long as those and the field storage.
public struct RequestHead {
    public internal(set) var method: sluice_bytes
    /// The target as it was sent.
    public internal(set) var target: sluice_bytes
    /// The target's path, `/` if an absolute form has none, `*` for OPTIONS of the server. Not decoded or normalised.
    public internal(set) var path: sluice_bytes
    /// What follows the `?`; without data if there is no `?`, of size 0 if nothing follows it.
    public internal(set) var query: sluice_bytes
    /// Host and port, from the Host field or an absolute form (they agree). Without data in HTTP/1.0 without Host.
    public internal(set) var authority: sluice_bytes
    public var fields: FieldSection
    public internal(set) var body: BodyFraming = .none
    /// Bytes from the start of the caller's to the first of the content.
    public internal(set) var headSize: Int = 0
    public internal(set) var methodKind: Method = .other
    /// 0 or 1: any HTTP/1.x from 1.1 on is spoken to as 1.1 (RFC 9110 §2.5).
    public internal(set) var minorVersion: UInt8 = 1
    /// Whether the client wants the connection to outlive this exchange (RFC 9112 §9.3).
    public internal(set) var keepAlive = true
    /// Whether the client waits for 100 (Continue) before it sends the content.
    public internal(set) var expectContinue = false
    /// Whether the client takes trailers (`TE: trailers`).
    public internal(set) var acceptsTrailers = false
    public internal(set) var upgrade: Upgrade = .none

    /// The body ends where its stream says, not where a field does: a request of HTTP/2 that is not over with its head.
    /// A length that was announced stays.
    public mutating func framesBodyByStream() {
        guard case .none = body else { return }
        body = .untilClose
        // What the parser had no content to wait for. It has refused any expectation but this one.
        expectContinue = fields.expect >= 0
    }

    /// An empty head to parse into. `fields` is storage for `HeadLimits.fieldCount` fields.
    public init(fields storage: UnsafeMutablePointer<sluice_field>) {
        method = sluice_bytes()
        target = sluice_bytes()
        path = sluice_bytes()
        query = sluice_bytes()
        authority = sluice_bytes()
        fields = FieldSection(storage: storage, start: ByteClass.table)
    }
}

extension StaticString {
    /// A view of a literal; valid for ever.
    @inline(__always)
    var bytes: sluice_bytes { sluice_bytes(data: utf8Start, size: utf8CodeUnitCount) }
}
