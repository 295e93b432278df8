/// What a server must do with a sequence of frames.
enum HTTP2Verdict: Sendable {
    /// The stream gets an answer with this status.
    case answered(UInt32, Int)
    /// The stream is reset with one of these codes; ending the connection with one of them is allowed as well (RFC 9113
    /// §5.4.2).
    case streamError(UInt32, [UInt32])
    /// GOAWAY with one of these codes, and the end of the connection (RFC 9113 §5.4.1).
    case connectionError([UInt32])
    /// A PING that follows is answered: the frames were taken, or ignored as they should be.
    case alive
    /// The first answer to a PING has these bytes.
    case pong([UInt8])
    case settingsAcknowledged
    /// SETTINGS were the first frame.
    case settingsFirst
}

/// One thing that a rule does: a frame is sent, and the rest are waits.
protocol HTTP2Step: Sendable {
    func take(_ client: HTTP2Client) throws
}

extension HTTP2Frame: HTTP2Step {
    func take(_ client: HTTP2Client) { client.send(self) }
}

extension Array: HTTP2Step where Element == HTTP2Frame {
    func take(_ client: HTTP2Client) { client.socket.send(flatMap(\.encoded)) }
}

/// What has to come before the next frame is sent.
enum Awaited: HTTP2Step {
    /// The end of a stream's answer.
    case end(UInt32)
    /// DATA of this size on a stream, no more and no less.
    case data(UInt32, Int)
    /// Of the SETTINGS that were sent.
    case acknowledgement

    func take(_ client: HTTP2Client) throws {
        switch self {
        case .end(let stream):
            guard try client.answer(stream, .after(seconds: 5)).isWhole else { throw HarnessError("no whole answer") }
        case .data(let stream, let size):
            // Opening windows is the rule's.
            client.opensWindows = false
            let frame = try client.read(.after(seconds: 5)) { $0.kind == .data && $0.stream == stream }
            guard frame?.payload.count == size else {
                throw HarnessError("DATA of \(frame?.payload.count ?? -1) bytes in place of \(size)")
            }
        case .acknowledgement:
            guard try client.read(.after(seconds: 5), until: { $0.kind == .settings && $0.flags == 1 }) != nil else {
                throw HarnessError("SETTINGS were not acknowledged")
            }
        }
    }
}

/// One rule of RFC 9113 or RFC 7541.
struct HTTP2Rule: Sendable {
    let name: String
    /// The cases of the public suite h2spec that it stands for, as `suite/section/number`; none where it goes beyond.
    let cases: [String]
    let steps: [any HTTP2Step]
    let verdict: HTTP2Verdict

    init(_ name: String, of cases: String = "", _ verdict: HTTP2Verdict, _ steps: any HTTP2Step...) {
        self.name = name
        self.cases = cases.split(separator: " ").map(String.init)
        self.steps = steps
        self.verdict = verdict
    }
}

/// Frames as the tables write them.
extension HTTP2Rule {
    typealias E = HTTP2Error

    static func block(_ method: String = "GET", _ more: (String, String)..., path: String = "/") -> [UInt8] {
        HTTP2Client.block(HTTP2Client.request(method, path) + more)
    }

    static func headers(_ stream: UInt32 = 1, _ payload: [UInt8] = block(), flags: UInt8 = 5) -> HTTP2Frame {
        HTTP2Frame(.headers, flags: flags, stream: stream, payload)
    }

    static func post(_ stream: UInt32 = 1, _ more: (String, String)...) -> HTTP2Frame {
        HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(HTTP2Client.request("POST") + more))
    }

    static func data(_ stream: UInt32 = 1, _ count: Int = 4, flags: UInt8 = 1) -> HTTP2Frame {
        HTTP2Frame(.data, flags: flags, stream: stream, [UInt8](repeating: 0x61, count: count))
    }

    static func settings(_ pairs: (UInt16, UInt32)...) -> HTTP2Frame {
        HTTP2Frame(.settings, pairs.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + HTTP2Frame.word($0.1) })
    }

    static func window(_ stream: UInt32, _ size: UInt32) -> HTTP2Frame {
        HTTP2Frame(.windowUpdate, stream: stream, HTTP2Frame.word(size))
    }

    static func literal(_ fields: [(String, String)]) -> HTTP2Frame { headers(1, HTTP2Client.block(fields)) }

    static let reset = HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(E.cancel))
    static let ping = HTTP2Frame(.ping, [9, 9, 9, 9, 0, 0, 0, 0])
    static let scheme = (":scheme", "http")
    static let path = (":path", "/")
    static let get = (":method", "GET")
    static let authority = (":authority", "a")
    /// A request's fields in the fewest bytes.
    static let smallest: [UInt8] = [0x82, 0x86, 0x84, 0x41, 1, 0x61]
    /// 16,385 bytes, one more than anybody may send unasked.
    static let tooLong = [UInt8](repeating: 0, count: 16_385)
}
