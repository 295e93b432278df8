import CNGHTTP2
import Foundation

/// One frame of HTTP/2 (RFC 9113 §4.1), as it is on the wire.
struct HTTP2Frame: CustomStringConvertible, Sendable {
    enum Kind: UInt8, Sendable {
        case data = 0, headers, priority, resetStream, settings, pushPromise, ping, goAway, windowUpdate, continuation
    }
    var type: UInt8
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []
    /// Said instead of the payload's size, for frames that lie.
    var claimedLength: Int?

    init(_ kind: Kind, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.init(type: kind.rawValue, flags: flags, stream: stream, payload)
    }

    init(type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, _ payload: [UInt8] = []) {
        self.type = type
        self.flags = flags
        self.stream = stream
        self.payload = payload
    }

    var kind: Kind? { Kind(rawValue: type) }
    var endsStream: Bool { flags & 1 != 0 && (kind == .data || kind == .headers) }

    var encoded: [UInt8] {
        let length = claimedLength ?? payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + Self.word(stream) + payload
    }

    static func word(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    /// The 32-bit number at `offset` of the payload.
    func word(at offset: Int) -> UInt32 {
        guard payload.count >= offset + 4 else { return 0 }
        return payload[offset..<offset + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Of RST_STREAM and GOAWAY.
    var errorCode: UInt32 { kind == .goAway ? word(at: 4) : word(at: 0) }

    var description: String {
        "\(kind.map { "\($0)" } ?? "type \(type)") flags \(flags) stream \(stream) \(payload.prefix(32))"
    }
}

/// Error codes of RFC 9113 §7.
enum HTTP2Error {
    static let none: UInt32 = 0
    static let `protocol`: UInt32 = 1
    static let flowControl: UInt32 = 3
    static let streamClosed: UInt32 = 5
    static let frameSize: UInt32 = 6
    static let refused: UInt32 = 7
    static let cancel: UInt32 = 8
    static let compression: UInt32 = 9
    static let enhanceYourCalm: UInt32 = 11
}

/// What a stream answered.
struct HTTP2Answer {
    var fields: [(name: String, value: String)] = []
    var trailers: [(name: String, value: String)] = []
    var interim: [[(name: String, value: String)]] = []
    var body: [UInt8] = []
    var isWhole = false
    var resetCode: UInt32?

    var status: Int? { field(":status").flatMap { Int($0) } }
    func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    var bodyText: String { text(body) }
}

/// Speaks HTTP/2 frame by frame, also wrongly. Fields are sent without indexing or Huffman code, so that each byte is
/// the test's; what comes is decoded by libnghttp2.
final class HTTP2Client {
    let socket: Socket
    private var buffer: [UInt8] = []
    private var inflater: OpaquePointer?
    private(set) var answers: [UInt32: HTTP2Answer] = [:]
    private(set) var goAway: HTTP2Frame?
    private(set) var frames: [HTTP2Frame] = []
    private(set) var ended = false
    /// Opens windows as data comes.
    var opensWindows = true
    /// Bytes that WINDOW_UPDATE frames have added, by stream; 0 is the connection.
    private(set) var opened: [UInt32: Int] = [:]
    private var block: [UInt8] = []
    private var served: Set<UInt32> = []

    static let preface = bytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    /// `settings`: pairs of identifier and value. Waits for the server's SETTINGS and acknowledges them, unless not.
    init(_ socket: Socket, settings: [(UInt16, UInt32)] = [], acknowledges: Bool = true) throws {
        self.socket = socket
        nghttp2_hd_inflate_new(&inflater)
        let payload = settings.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + HTTP2Frame.word($0.1) }
        socket.send(Self.preface + HTTP2Frame(.settings, payload).encoded)
        guard try read(until: { $0.kind == .settings && $0.flags & 1 == 0 }) != nil else {
            throw HarnessError("no SETTINGS came")
        }
        if acknowledges { send(HTTP2Frame(.settings, flags: 1)) }
    }

    /// The other side: takes the preface and the client's SETTINGS, and sends its own. Requests are in `answers`.
    init(serving socket: Socket, settings: [(UInt16, UInt32)] = []) throws {
        self.socket = socket
        nghttp2_hd_inflate_new(&inflater)
        while buffer.count < Self.preface.count {
            guard case .data(let data) = socket.receive(.ordinary) else { throw HarnessError("no preface came") }
            buffer += data
        }
        guard Array(buffer.prefix(Self.preface.count)) == Self.preface else { throw HarnessError("no preface") }
        buffer.removeFirst(Self.preface.count)
        let payload = settings.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + HTTP2Frame.word($0.1) }
        send(HTTP2Frame(.settings, payload))
    }

    /// The stream of the next request whose last frame has come, or nil when the connection has ended.
    func nextRequest(_ deadline: Deadline = .ordinary) throws -> UInt32? {
        if let known = answers.first(where: { $0.value.isWhole && !served.contains($0.key) })?.key {
            served.insert(known)
            return known
        }
        guard let frame = try read(deadline, until: { $0.endsStream }) else { return nil }
        served.insert(frame.stream)
        return frame.stream
    }

    /// A whole response.
    func respond(_ stream: UInt32, _ status: Int = 200, _ body: String = "ok", fields: [(String, String)] = []) {
        let head = HTTP2Frame(
            .headers, flags: body.isEmpty ? 5 : 4, stream: stream, Self.block([(":status", "\(status)")] + fields))
        if body.isEmpty { send(head) } else { send(head, HTTP2Frame(.data, flags: 1, stream: stream, bytes(body))) }
    }

    /// A whole answer to a call of gRPC: head, message and trailers in frames of their own, and no frame for an empty
    /// message.
    func answerCall(
        _ stream: UInt32, _ message: [UInt8], fields: [(String, String)] = [("content-type", "application/grpc")],
        trailers: [(String, String)] = [("grpc-status", "0")]
    ) {
        let head = HTTP2Frame(.headers, flags: 4, stream: stream, Self.block([(":status", "200")] + fields))
        let end = HTTP2Frame(.headers, flags: 5, stream: stream, Self.block(trailers))
        if message.isEmpty { send(head, end) } else { send(head, HTTP2Frame(.data, stream: stream, message), end) }
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    @discardableResult
    func send(_ frames: HTTP2Frame...) -> Bool { socket.send(frames.flatMap(\.encoded)) }

    /// A header block of literals, in this order.
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + length($0.0.utf8.count) + bytes($0.0) + length($0.1.utf8.count) + bytes($0.1) }
    }

    /// RFC 7541 §5.1 with a prefix of seven bits.
    private static func length(_ value: Int) -> [UInt8] {
        if value < 127 { return [UInt8(value)] }
        var rest = value - 127
        var out: [UInt8] = [127]
        while rest >= 128 {
            out.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return out + [UInt8(rest)]
    }

    static func request(_ method: String = "GET", _ path: String = "/") -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")]
    }

    /// A request without a body, or with one whose frames follow.
    func request(
        _ stream: UInt32, _ method: String = "GET", _ path: String = "/", fields: [(String, String)] = [],
        ends: Bool = true
    ) {
        send(
            HTTP2Frame(
                .headers, flags: ends ? 5 : 4, stream: stream, Self.block(Self.request(method, path) + fields)))
    }

    /// Reads frames until one fits; nil when the connection ends or the deadline passes.
    @discardableResult
    func read(_ deadline: Deadline = .ordinary, until fits: (HTTP2Frame) -> Bool) throws -> HTTP2Frame? {
        while true {
            while let frame = nextFrame() {
                frames.append(frame)
                take(frame)
                if fits(frame) { return frame }
            }
            switch socket.receive(deadline) {
            case .data(let data): buffer += data
            case .end, .reset:
                ended = true
                return nil
            case .late: throw HarnessError("no frame in time; so far: \(frames)")
            }
        }
    }

    /// Reads until a stream's window opens, or for a while that is long for a frame on loopback.
    func awaitWindow(_ stream: UInt32) {
        _ = try? read(.after(seconds: 0.3)) { $0.kind == .windowUpdate && $0.stream == stream }
    }

    /// Reads until a stream's answer is whole or reset, or the connection ends.
    func answer(_ stream: UInt32, _ deadline: Deadline = .ordinary) throws -> HTTP2Answer {
        if let known = answers[stream], known.isWhole || known.resetCode != nil { return known }
        try read(deadline) {
            $0.stream == stream && (answers[stream]?.isWhole == true || answers[stream]?.resetCode != nil)
        }
        return answers[stream] ?? HTTP2Answer()
    }

    /// Reads until the peer ends the connection; the error code of its GOAWAY, if there was one.
    func goAwayCode(_ deadline: Deadline = .ordinary) throws -> UInt32? {
        try read(deadline) { _ in false }
        return goAway?.errorCode
    }

    private func nextFrame() -> HTTP2Frame? {
        guard buffer.count >= 9 else { return nil }
        let length = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
        guard buffer.count >= 9 + length else { return nil }
        let stream = buffer[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
        let frame = HTTP2Frame(
            type: buffer[3], flags: buffer[4], stream: stream, Array(buffer[9..<9 + length]))
        buffer.removeFirst(9 + length)
        return frame
    }

    private func take(_ frame: HTTP2Frame) {
        switch frame.kind {
        case .headers, .continuation:
            block += frame.payload
            if frame.flags & 4 != 0 {
                let fields = inflate(block)
                block = []
                var answer = answers[frame.stream] ?? HTTP2Answer()
                if !answer.fields.isEmpty {
                    answer.trailers = fields
                } else if fields.first?.value.hasPrefix("1") == true {
                    answer.interim.append(fields)
                } else {
                    answer.fields = fields
                }
                answers[frame.stream] = answer
            }
        case .data:
            answers[frame.stream, default: HTTP2Answer()].body += frame.payload
            if opensWindows, !frame.payload.isEmpty {
                let size = HTTP2Frame.word(UInt32(frame.payload.count))
                send(HTTP2Frame(.windowUpdate, size), HTTP2Frame(.windowUpdate, stream: frame.stream, size))
            }
        case .resetStream: answers[frame.stream, default: HTTP2Answer()].resetCode = frame.errorCode
        case .goAway: goAway = frame
        case .windowUpdate: opened[frame.stream, default: 0] += Int(frame.word(at: 0))
        default: break
        }
        if frame.endsStream { answers[frame.stream, default: HTTP2Answer()].isWhole = true }
    }

    private func inflate(_ block: [UInt8]) -> [(name: String, value: String)] {
        var fields: [(name: String, value: String)] = []
        var rest = block
        while true {
            var field = nghttp2_nv()
            var flags: CInt = 0
            let used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, rest, rest.count, 1)
            guard used >= 0 else { return fields }
            rest.removeFirst(Int(used))
            if flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                fields.append(
                    (
                        text(UnsafeBufferPointer(start: field.name, count: field.namelen)),
                        text(UnsafeBufferPointer(start: field.value, count: field.valuelen))
                    ))
            }
            if flags & CInt(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                nghttp2_hd_inflate_end_headers(inflater)
                return fields
            }
            if used == 0, flags & CInt(NGHTTP2_HD_INFLATE_EMIT.rawValue) == 0 { return fields }
        }
    }
}

extension Gateway {
    func http2(settings: [(UInt16, UInt32)] = [], acknowledges: Bool = true) throws -> HTTP2Client {
        try HTTP2Client(connect(), settings: settings, acknowledges: acknowledges)
    }
}
