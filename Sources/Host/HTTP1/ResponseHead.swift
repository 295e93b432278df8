/// A parsed response head: views into the caller's bytes, valid as long as those and the field storage.
public struct ResponseHead {
    /// May be empty.
    public internal(set) var reason: sluice_bytes
    public internal(set) var fields: FieldSection
    /// The content that follows on this connection.
    public internal(set) var body: BodyFraming = .none
    /// The framing that the fields say, `.none` if they say nothing. It differs from `body` where there is no content
    /// by rule: a response to HEAD and a 304 tell how long the content would be, and the client is told the same.
    public internal(set) var declared: BodyFraming = .none
    /// Bytes from the start of the caller's to the first of the content.
    public internal(set) var headSize: Int = 0
    /// 100 to 599. Below 200 the head is an interim one: another follows it.
    public internal(set) var status: UInt16 = 0
    /// 0 or 1, as in a request.
    public internal(set) var minorVersion: UInt8 = 1
    /// Whether the connection may carry another request after this response.
    public internal(set) var keepAlive = true

    /// The content ends with its stream, not with a connection (HTTP/2, RFC 9113 §8.1). `isEmpty`: it has ended
    /// already; `saysLength`: the recipient is told so by a length of 0.
    public mutating func framesBodyByStream(isEmpty: Bool, saysLength: Bool) {
        guard body == .untilClose, isEmpty else { return }
        body = .none
        if saysLength { declared = .length(0) }
    }

    /// Says nothing of the length of content that is not there.
    public mutating func forgetLength() { declared = .none }

    /// Gives the response another final status, and the framing that goes with it. Content that `body` says there is
    /// must not meet a status that has none: 204, 205 or 304 (RFC 9110 §6.4.1).
    /// - Parameter toHead: the request was HEAD, so that the status says nothing of whether content follows.
    public mutating func change(to other: UInt16, toHead: Bool) {
        let phrase = reasonPhrase(other)
        status = other
        reason = sluice_bytes(data: phrase.utf8Start, size: phrase.utf8CodeUnitCount)
        switch other {
        case 204, 304:
            // RFC 9110 §8.6: no length beside 204; beside 304 it would be that of content which nobody has told us of.
            body = .none
            if other == 204 || !toHead { declared = .none }
        case 205: body = .length(0)
        default:
            // Without a word on it, such content would end with the connection (RFC 9112 §6.3).
            if body == .none, !toHead { body = .length(0) }
        }
    }

    /// What a 101 switches to.
    public internal(set) var upgrade: Upgrade = .none

    /// A 426 that names WebSocket among the protocols that the client has to ask for (RFC 9110 §15.5.22). Whether
    /// Connection nominates the field makes no difference: not all servers do, and it is written anew.
    ///
    /// Not a property of the head: every answer would be copied for it.
    @inlinable @inline(__always)
    public static func demandsWebSocket(_ head: UnsafePointer<ResponseHead>) -> Bool {
        head.pointee.status == 426 && namesWebSocket(head)
    }

    @inline(never)
    @usableFromInline static func namesWebSocket(_ head: UnsafePointer<ResponseHead>) -> Bool {
        let fields = head.pointee.fields
        guard fields.upgrade >= 0 else { return false }
        for index in Int(fields.upgrade)..<fields.count
        where fields[index].name.equalsIgnoringCase("upgrade") && fields[index].value.hasMember("websocket") {
            return true
        }
        return false
    }

    /// An empty head to parse into. `fields` is storage for `HeadLimits.fieldCount` fields.
    public init(fields storage: UnsafeMutablePointer<sluice_field>) {
        reason = sluice_bytes()
        fields = FieldSection(storage: storage, start: ByteClass.table)
    }
}
