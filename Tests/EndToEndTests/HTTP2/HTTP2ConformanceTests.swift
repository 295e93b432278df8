import Foundation
import Testing

/// What a server must do with a sequence of frames.
private enum Verdict {
    /// The stream gets an answer with this status.
    case answered(UInt32, Int)
    /// The stream is reset with one of these codes; ending the connection with one of them is allowed as well (RFC 9113
    /// §5.4.2).
    case streamError(UInt32, [UInt32])
    /// GOAWAY with one of these codes, and the end of the connection (RFC 9113 §5.4.1).
    case connectionError([UInt32])
    /// A PING that follows is answered: the frames were taken, or ignored as they should be.
    case alive
    /// An answer to a PING is seen, in these bytes.
    case pong([UInt8])
    case settingsAcknowledged
}

/// One rule of RFC 9113 or RFC 7541.
private struct Rule: CustomTestStringConvertible {
    let name: String
    let frames: [HTTP2Frame]
    let verdict: Verdict
    var testDescription: String { name }

    init(_ name: String, _ verdict: Verdict, _ frames: HTTP2Frame...) {
        self.name = name
        self.frames = frames
        self.verdict = verdict
    }
}

private func block(_ method: String = "GET", _ more: (String, String)..., path: String = "/") -> [UInt8] {
    HTTP2Client.block(HTTP2Client.request(method, path) + more)
}

private func headers(_ stream: UInt32 = 1, _ payload: [UInt8] = block(), flags: UInt8 = 5) -> HTTP2Frame {
    HTTP2Frame(.headers, flags: flags, stream: stream, payload)
}

private func post(_ stream: UInt32 = 1, _ more: (String, String)...) -> HTTP2Frame {
    HTTP2Frame(.headers, flags: 4, stream: stream, HTTP2Client.block(HTTP2Client.request("POST") + more))
}

private func data(_ stream: UInt32 = 1, _ count: Int = 4, flags: UInt8 = 1) -> HTTP2Frame {
    HTTP2Frame(.data, flags: flags, stream: stream, [UInt8](repeating: 0x61, count: count))
}

private func settings(_ pairs: (UInt16, UInt32)...) -> HTTP2Frame {
    HTTP2Frame(.settings, pairs.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + HTTP2Frame.word($0.1) })
}

private func window(_ stream: UInt32, _ size: UInt32) -> HTTP2Frame {
    HTTP2Frame(.windowUpdate, stream: stream, HTTP2Frame.word(size))
}

private func literal(_ fields: [(String, String)]) -> HTTP2Frame { headers(1, HTTP2Client.block(fields)) }

private func lying(_ frame: HTTP2Frame, _ length: Int) -> HTTP2Frame {
    var frame = frame
    frame.claimedLength = length
    return frame
}

private typealias E = HTTP2Error

private let scheme = (":scheme", "http")
private let path = (":path", "/")
private let get = (":method", "GET")
private let authority = (":authority", "a")
/// 16,385 bytes, one more than anybody may send unasked.
private let tooLong = [UInt8](repeating: 0, count: 16_385)
private let ping = HTTP2Frame(.ping, [9, 9, 9, 9, 0, 0, 0, 0])

/// Frames as they should be.
private let accepted: [Rule] = [
    Rule("§3.4 a preface and SETTINGS", .alive),
    Rule("§4.1 a frame of unknown type", .alive, HTTP2Frame(type: 0x16, [0, 0, 0, 0, 0, 0, 0, 0])),
    Rule("§4.1 flags without meaning", .pong(ping.payload), HTTP2Frame(.ping, flags: 0x16, ping.payload)),
    Rule(
        "§4.1 the reserved bit", .pong(ping.payload), HTTP2Frame(.ping, flags: 0, stream: 0x8000_0000, ping.payload)),
    Rule("§4.2 DATA of 16,384 bytes", .answered(1, 200), post(), data(1, 16_384)),
    Rule(
        "§5.1 PRIORITY on an idle stream", .answered(1, 200), HTTP2Frame(.priority, stream: 1, [0, 0, 0, 3, 9]),
        headers()),
    Rule(
        "§5.1 WINDOW_UPDATE on a half-closed stream", .answered(1, 200), headers(), window(1, 100)),
    Rule(
        "§5.1 PRIORITY on a half-closed stream", .answered(1, 200), headers(),
        HTTP2Frame(.priority, stream: 1, [0, 0, 0, 3, 9])),
    Rule(
        "§5.1 RST_STREAM on a half-closed stream", .alive, headers(),
        HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(8))),
    Rule(
        "§5.5 an unknown frame on a stream", .answered(1, 200), post(), HTTP2Frame(type: 0x42, stream: 1, [1]), data()),
    Rule("§6.1 DATA", .answered(1, 200), post(), data()),
    Rule("§6.1 several DATA", .answered(1, 200), post(), data(1, 4, flags: 0), data()),
    Rule(
        "§6.1 DATA with padding", .answered(1, 200), post(),
        HTTP2Frame(.data, flags: 9, stream: 1, [4, 0x61, 0, 0, 0, 0])),
    Rule("§6.2 HEADERS", .answered(1, 200), headers()),
    Rule("§6.2 HEADERS with padding", .answered(1, 200), headers(1, [4] + block() + [0, 0, 0, 0], flags: 13)),
    Rule("§6.2 HEADERS with priority", .answered(1, 200), headers(1, [0, 0, 0, 0, 255] + block(), flags: 37)),
    Rule(
        "§8.1 trailers",
        .answered(1, 200), post(), data(1, 4, flags: 0), headers(1, HTTP2Client.block([("x-t", "1")]))),
    Rule("§6.3 PRIORITY", .answered(1, 200), HTTP2Frame(.priority, stream: 3, [0, 0, 0, 1, 255]), headers()),
    Rule(
        "§6.3 PRIORITY, exclusive",
        .answered(1, 200), HTTP2Frame(.priority, stream: 3, [128, 0, 0, 1, 255]), headers()),
    Rule("§6.5 SETTINGS", .settingsAcknowledged, settings((1, 4_096), (3, 100), (4, 65_535), (5, 16_384))),
    Rule("§6.5.2 an unknown setting", .settingsAcknowledged, settings((0xFF, 1))),
    Rule("§6.5.3 a setting twice: the last one counts", .answered(1, 200), settings((4, 0), (4, 65_535)), headers()),
    Rule("§6.7 PING", .pong(ping.payload), ping),
    Rule(
        "§6.8 GOAWAY lets its streams end", .answered(1, 200), headers(),
        HTTP2Frame(.goAway, HTTP2Frame.word(0) + HTTP2Frame.word(0))),
    Rule(
        "§7 GOAWAY with an unknown code", .answered(1, 200), headers(),
        HTTP2Frame(.goAway, HTTP2Frame.word(0) + HTTP2Frame.word(255))),
    Rule(
        "§7 RST_STREAM with an unknown code", .alive, headers(),
        HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(255))),
    Rule("§6.9 WINDOW_UPDATE", .answered(1, 200), window(0, 100), headers(), window(1, 100)),
    Rule(
        "§6.10 CONTINUATION", .answered(1, 200), headers(1, Array(block().prefix(20)), flags: 1),
        HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(20)))),
    Rule(
        "§6.10 several CONTINUATION", .answered(1, 200), headers(1, Array(block().prefix(20)), flags: 1),
        HTTP2Frame(.continuation, stream: 1, Array(block().dropFirst(20).prefix(9))),
        HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(29)))),
    // Taken as a request, and as in HTTP/1.1 no route is of a server as a whole.
    Rule("§8.3.1 OPTIONS *", .answered(1, 404), headers(1, block("OPTIONS", path: "*"))),
    Rule("§8.2.2 te: trailers", .answered(1, 200), headers(1, block("GET", ("te", "trailers")))),
    Rule("HEAD", .answered(1, 200), headers(1, block("HEAD"))),
    Rule("RFC 7541 §6.1 indexed fields", .answered(1, 200), headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61])),
    Rule(
        "RFC 7541 §6.2.1 a field of the dynamic table", .answered(3, 200),
        headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61]), headers(3, [0x82, 0x86, 0x84, 0xBE])),
    Rule("RFC 7541 §6.2.3 never indexed", .answered(1, 200), headers(1, [0x82, 0x86, 0x84, 0x11, 1, 0x61])),
    Rule("RFC 7541 §5.2 Huffman code", .answered(1, 200), headers(1, [0x82, 0x86, 0x84, 0x41, 0x81, 0x1F])),
    Rule("RFC 7541 §6.3 a smaller table", .answered(1, 200), headers(1, [0x20, 0x82, 0x86, 0x84, 0x41, 1, 0x61])),
]

/// Frames that break the framing layer's rules.
private let framing: [Rule] = [
    Rule(
        "§4.2 DATA beyond 16,384 bytes", .connectionError([E.frameSize]), post(),
        HTTP2Frame(.data, flags: 1, stream: 1, tooLong)),
    Rule("§4.2 HEADERS beyond 16,384 bytes", .connectionError([E.frameSize]), headers(1, tooLong)),
    Rule(
        "§4.3 a header block that is none", .connectionError([E.compression]),
        headers(1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])),
    Rule(
        "§4.3 PRIORITY within a header block", .connectionError([E.protocol]), headers(1, block(), flags: 1),
        HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 9])),
    Rule(
        "§4.3 HEADERS of another stream within a header block", .connectionError([E.protocol]),
        headers(1, block(), flags: 1), headers(3)),
    Rule("§5.1 DATA on an idle stream", .connectionError([E.protocol]), data()),
    Rule(
        "§5.1 RST_STREAM on an idle stream", .connectionError([E.protocol]),
        HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(8))),
    Rule("§5.1 WINDOW_UPDATE on an idle stream", .connectionError([E.protocol]), window(1, 100)),
    Rule(
        "§5.1 CONTINUATION on an idle stream", .connectionError([E.protocol]),
        HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
    Rule("§5.1 DATA on a half-closed stream", .streamError(1, [E.streamClosed]), headers(), data()),
    Rule("§5.1 HEADERS on a half-closed stream", .streamError(1, [E.streamClosed]), headers(), headers()),
    Rule(
        "§5.1 CONTINUATION on a half-closed stream", .connectionError([E.streamClosed, E.protocol]), headers(),
        HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
    Rule("§5.1.1 an even stream", .connectionError([E.protocol]), headers(2)),
    Rule("§5.1.1 a lower stream than before", .connectionError([E.protocol, E.streamClosed]), headers(5), headers(3)),
    Rule(
        "§5.3.1 HEADERS that depend on themselves", .streamError(1, [E.protocol]),
        headers(1, [0, 0, 0, 1, 255] + block(), flags: 37)),
    Rule(
        "§5.5 an unknown frame within a header block", .connectionError([E.protocol]), headers(1, block(), flags: 1),
        HTTP2Frame(type: 0x42, stream: 1, [0])),
    Rule("§6.1 DATA on stream 0", .connectionError([E.protocol]), data(0)),
    Rule(
        "§6.1 DATA with more padding than payload", .connectionError([E.protocol]), post(),
        HTTP2Frame(.data, flags: 9, stream: 1, [9, 0x61])),
    Rule("§6.2 HEADERS on stream 0", .connectionError([E.protocol]), headers(0)),
    Rule(
        "§6.2 HEADERS with more padding than payload", .connectionError([E.protocol]),
        headers(1, [200] + block(), flags: 13)),
    Rule("§6.3 PRIORITY on stream 0", .connectionError([E.protocol]), HTTP2Frame(.priority, [0, 0, 0, 1, 9])),
    Rule("§6.3 PRIORITY of 4 bytes", .streamError(1, [E.frameSize]), HTTP2Frame(.priority, stream: 1, [0, 0, 0, 1])),
    Rule("§6.4 RST_STREAM on stream 0", .connectionError([E.protocol]), HTTP2Frame(.resetStream, HTTP2Frame.word(8))),
    Rule(
        "§6.4 RST_STREAM of 3 bytes", .connectionError([E.frameSize]), headers(),
        HTTP2Frame(.resetStream, stream: 1, [0, 0, 0])),
    Rule(
        "§6.5 SETTINGS with ACK and payload", .connectionError([E.frameSize]),
        HTTP2Frame(.settings, flags: 1, [0, 3, 0, 0, 0, 1])),
    Rule(
        "§6.5 SETTINGS on a stream", .connectionError([E.protocol]),
        HTTP2Frame(.settings, stream: 1, [0, 3, 0, 0, 0, 1])),
    Rule("§6.5 SETTINGS of 3 bytes", .connectionError([E.frameSize]), HTTP2Frame(.settings, [0, 3, 0])),
    Rule("§6.5.2 ENABLE_PUSH of 2", .connectionError([E.protocol]), settings((2, 2))),
    Rule("§6.5.2 INITIAL_WINDOW_SIZE above 2³¹ - 1", .connectionError([E.flowControl]), settings((4, 0x8000_0000))),
    Rule("§6.5.2 MAX_FRAME_SIZE below 16,384", .connectionError([E.protocol]), settings((5, 16_383))),
    Rule("§6.5.2 MAX_FRAME_SIZE above 2²⁴ - 1", .connectionError([E.protocol]), settings((5, 16_777_216))),
    Rule(
        "§6.6 PUSH_PROMISE of a client", .connectionError([E.protocol]), headers(),
        HTTP2Frame(.pushPromise, flags: 4, stream: 1, HTTP2Frame.word(3) + block())),
    Rule("§6.7 PING on a stream", .connectionError([E.protocol]), HTTP2Frame(.ping, stream: 1, ping.payload)),
    Rule("§6.7 PING of 6 bytes", .connectionError([E.frameSize]), HTTP2Frame(.ping, [0, 0, 0, 0, 0, 0])),
    Rule(
        "§6.8 GOAWAY on a stream", .connectionError([E.protocol]),
        HTTP2Frame(.goAway, stream: 1, HTTP2Frame.word(0) + HTTP2Frame.word(0))),
    Rule("§6.9 WINDOW_UPDATE of 0", .connectionError([E.protocol]), window(0, 0)),
    Rule("§6.9 WINDOW_UPDATE of 0 on a stream", .streamError(1, [E.protocol]), post(), window(1, 0)),
    Rule("§6.9 WINDOW_UPDATE of 3 bytes", .connectionError([E.frameSize]), HTTP2Frame(.windowUpdate, [0, 0, 1])),
    Rule(
        "§6.9.1 a window above 2³¹ - 1", .connectionError([E.flowControl]), window(0, 0x7FFF_FFFF),
        window(0, 0x7FFF_FFFF)),
    Rule(
        "§6.9.1 a stream's window above 2³¹ - 1", .streamError(1, [E.flowControl]), post(), window(1, 0x7FFF_FFFF),
        window(1, 0x7FFF_FFFF)),
    Rule(
        "§6.9.2 a window that SETTINGS make too large", .streamError(1, [E.flowControl]), post(),
        window(1, 0x7FFF_0000), settings((4, 0x7FFF_FFFF))),
    Rule(
        "§6.10 HEADERS after END_HEADERS' CONTINUATION", .connectionError([E.protocol]),
        headers(1, Array(block().prefix(20)), flags: 1),
        HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(20))),
        HTTP2Frame(.continuation, flags: 4, stream: 1, [])),
    Rule("§6.10 DATA within a header block", .connectionError([E.protocol]), headers(1, block(), flags: 0), data()),
    Rule(
        "§6.10 CONTINUATION on stream 0", .connectionError([E.protocol]), headers(1, block(), flags: 1),
        HTTP2Frame(.continuation, flags: 4, stream: 0, [])),
    Rule(
        "§6.10 CONTINUATION of another stream", .connectionError([E.protocol]), headers(1, block(), flags: 1),
        HTTP2Frame(.continuation, flags: 4, stream: 3, [])),
    Rule(
        "§6.10 CONTINUATION after DATA", .connectionError([E.protocol]), post(), data(),
        HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
]

/// Requests that are malformed (RFC 9113 §8.1.1), and header blocks that RFC 7541 does not allow.
private let messages: [Rule] = [
    Rule(
        "§8.1 a second HEADERS without END_STREAM", .streamError(1, [E.protocol]), post(),
        HTTP2Frame(.headers, flags: 4, stream: 1, HTTP2Client.block([("x", "y")]))),
    Rule("§8.2 an upper-case name", .streamError(1, [E.protocol]), headers(1, block("GET", ("X-Test", "1")))),
    Rule("§8.2.1 a name with a space", .streamError(1, [E.protocol]), headers(1, block("GET", ("x y", "1")))),
    Rule("§8.2.1 a value with CR LF", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\r\ny: 2")))),
    Rule("§8.2.1 a value with LF", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\ny")))),
    Rule("§8.2.1 a value with NUL", .streamError(1, [E.protocol]), headers(1, block("GET", ("x", "1\0y")))),
    Rule("§8.2.1 a path with CR LF", .streamError(1, [E.protocol]), headers(1, block(path: "/ HTTP/1.1\r\nx: y"))),
    Rule(
        "§8.3 an unknown pseudo-header field", .streamError(1, [E.protocol]),
        headers(1, HTTP2Client.block([(":test", "1")] + HTTP2Client.request()))),
    Rule(
        "§8.3 a pseudo-header field of responses", .streamError(1, [E.protocol]),
        headers(1, HTTP2Client.block([(":status", "200")] + HTTP2Client.request()))),
    Rule(
        "§8.1 a pseudo-header field in trailers", .streamError(1, [E.protocol]), post(), data(1, 4, flags: 0),
        literal([get])),
    Rule(
        "§8.3 a pseudo-header field after others", .streamError(1, [E.protocol]),
        literal([get, scheme, authority, ("x", "y"), path])),
    Rule("§8.2.2 connection", .streamError(1, [E.protocol]), headers(1, block("GET", ("connection", "keep-alive")))),
    Rule("§8.2.2 transfer-encoding", .streamError(1, [E.protocol]), post(1, ("transfer-encoding", "chunked"))),
    Rule("§8.2.2 upgrade", .streamError(1, [E.protocol]), headers(1, block("GET", ("upgrade", "h2c")))),
    Rule("§8.2.2 keep-alive", .streamError(1, [E.protocol]), headers(1, block("GET", ("keep-alive", "1")))),
    Rule(
        "§8.2.2 proxy-connection", .streamError(1, [E.protocol]),
        headers(1, block("GET", ("proxy-connection", "close")))),
    Rule("§8.2.2 te other than trailers", .streamError(1, [E.protocol]), headers(1, block("GET", ("te", "gzip")))),
    Rule("§8.3.1 an empty :path", .streamError(1, [E.protocol]), headers(1, block(path: ""))),
    Rule("§8.3.1 a :path without its slash", .streamError(1, [E.protocol]), headers(1, block(path: "index"))),
    Rule("§8.3.1 no :method", .streamError(1, [E.protocol]), literal([scheme, path, authority])),
    Rule("§8.3.1 no :scheme", .streamError(1, [E.protocol]), literal([get, path, authority])),
    Rule("§8.3.1 no :path", .streamError(1, [E.protocol]), literal([get, scheme, authority])),
    Rule("§8.3.1 :method twice", .streamError(1, [E.protocol]), literal([get, get, scheme, path, authority])),
    Rule("§8.3.1 :scheme twice", .streamError(1, [E.protocol]), literal([get, scheme, scheme, path, authority])),
    Rule("§8.3.1 :path twice", .streamError(1, [E.protocol]), literal([get, scheme, path, path, authority])),
    Rule("§8.3.1 host against :authority", .answered(1, 400), headers(1, block("GET", ("host", "b")))),
    Rule(
        "§8.3.1 an :authority that is none", .streamError(1, [E.protocol]),
        literal([get, scheme, path, (":authority", "a b")])),
    Rule("§8.5 CONNECT", .answered(1, 501), literal([(":method", "CONNECT"), authority])),
    Rule(
        "§8.1.1 content-length and less DATA", .streamError(1, [E.protocol]), post(1, ("content-length", "9")), data()),
    Rule(
        "§8.1.1 content-length and more DATA", .streamError(1, [E.protocol]), post(1, ("content-length", "1")), data()),
    Rule(
        "§8.1.1 content-length and several DATA", .streamError(1, [E.protocol]), post(1, ("content-length", "1")),
        data(1, 1, flags: 0), data(1, 1)),
    Rule(
        "§8.1.1 content-length and no DATA", .streamError(1, [E.protocol]),
        headers(1, block("POST", ("content-length", "1")))),
    Rule("§8.1.1 content-length that is no number", .streamError(1, [E.protocol]), post(1, ("content-length", "-1"))),
    Rule(
        "§8.1.1 content-length twice", .streamError(1, [E.protocol]),
        post(1, ("content-length", "4"), ("content-length", "4"))),
    Rule(
        "RFC 7541 §2.3.3 an index beyond the tables", .connectionError([E.compression]),
        headers(1, [0x82, 0x86, 0x84, 0xFF, 0])),
    Rule(
        "RFC 7541 §4.2 a table size at the end of a block", .connectionError([E.compression]),
        headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61, 0x20])),
    Rule(
        "RFC 7541 §5.2 Huffman padding of more than 7 bits", .connectionError([E.compression]),
        headers(1, [0x82, 0x86, 0x84, 0x41, 0x82, 0x1F, 0xFF])),
    Rule(
        "RFC 7541 §5.2 Huffman padding of zeroes", .connectionError([E.compression]),
        headers(1, [0x82, 0x86, 0x84, 0x41, 0x81, 0x18])),
    Rule(
        "RFC 7541 §5.2 Huffman with EOS", .connectionError([E.compression]),
        headers(1, [0x82, 0x86, 0x84, 0x41, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])),
    Rule("RFC 7541 §6.1 index 0", .connectionError([E.compression]), headers(1, [0x82, 0x86, 0x84, 0x80])),
    Rule(
        "RFC 7541 §6.3 a table larger than allowed", .connectionError([E.compression]),
        headers(1, [0x3F, 0xE2, 0x1F, 0x82, 0x86, 0x84, 0x41, 1, 0x61])),
]

extension EndToEnd {
    /// The cases that conformance suites for HTTP/2 are made of, by section of RFC 9113 and RFC 7541.
    @Suite struct HTTP2Conformance {
        @Test func framesAsTheyShouldBe() throws { try check(accepted) }
        @Test func framesThatBreakTheRules() throws { try check(framing) }
        @Test func messagesThatBreakTheRules() throws { try check(messages) }

        /// All on one gateway, each on a connection of its own: what one breaks must not harm the next.
        private func check(_ rules: [Rule]) throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            for rule in rules {
                let client = try gateway.http2()
                for frame in rule.frames { client.send(frame) }
                do {
                    try judge(client, rule)
                } catch {
                    Issue.record("\(rule.name): \(error)")
                }
            }
            #expect(try gateway.get("/").status == 200)
        }

        private func judge(_ client: HTTP2Client, _ rule: Rule) throws {
            let name = Comment(rawValue: rule.name)
            switch rule.verdict {
            case .answered(let stream, let status):
                #expect(try client.answer(stream, .after(seconds: 5)).status == status, name)
            case .streamError(let stream, let codes):
                let end = try client.read(.after(seconds: 5)) {
                    $0.kind == .resetStream && $0.stream == stream && codes.contains($0.errorCode)
                        || $0.kind == .goAway
                }
                #expect(end.map { codes.contains($0.errorCode) } == true, name)
            case .connectionError(let codes):
                let code = try client.goAwayCode(.after(seconds: 5))
                #expect(code.map { codes.contains($0) } == true, "\(rule.name): \(String(describing: code))")
            case .alive:
                client.send(ping)
                #expect(try client.read(.after(seconds: 5)) { $0.kind == .ping && $0.flags == 1 } != nil, name)
            case .pong(let payload):
                let answer = try client.read(.after(seconds: 5)) { $0.kind == .ping && $0.flags == 1 }
                #expect(answer?.payload == payload, name)
            case .settingsAcknowledged:
                #expect(try client.read(.after(seconds: 5)) { $0.kind == .settings && $0.flags == 1 } != nil, name)
            }
        }

        @Test func aPrefaceThatIsNoneIsNoHTTP2() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let socket = try gateway.connect()
            socket.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            #expect(try MessageReader(socket).response()?.status == 505)
        }
    }
}
