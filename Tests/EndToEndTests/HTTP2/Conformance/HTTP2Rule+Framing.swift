extension HTTP2Rule {
    /// Frames that break the framing layer's rules.
    static let framing: [HTTP2Rule] = [
        HTTP2Rule(
            "§4.2 DATA beyond 16,384 bytes", of: "http2/4.2/2", .connectionError([E.frameSize]), post(),
            HTTP2Frame(.data, flags: 1, stream: 1, tooLong)),
        HTTP2Rule(
            "§4.2 HEADERS of 16,385 bytes", of: "http2/4.2/3", .connectionError([E.frameSize]), headers(1, tooLong)),
        HTTP2Rule(
            "§4.3 a header block that is none", of: "http2/4.3/1", .connectionError([E.compression]),
            headers(1, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])),
        HTTP2Rule(
            "§4.3 PRIORITY within a header block", of: "http2/4.3/2 http2/6.2/1", .connectionError([E.protocol]),
            headers(1, block(), flags: 1),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 9])),
        HTTP2Rule(
            "§4.3 HEADERS of another stream within a header block", of: "http2/4.3/3 http2/6.2/2",
            .connectionError([E.protocol]),
            headers(1, block(), flags: 1), headers(3)),
        HTTP2Rule("§5.1 DATA on an idle stream", of: "http2/5.1/1", .connectionError([E.protocol]), data()),
        HTTP2Rule(
            "§5.1 RST_STREAM on an idle stream", of: "http2/5.1/2 http2/6.4/2", .connectionError([E.protocol]),
            HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(8))),
        HTTP2Rule(
            "§5.1 WINDOW_UPDATE on an idle stream", of: "http2/5.1/3", .connectionError([E.protocol]), window(1, 100)),
        HTTP2Rule(
            "§5.1 CONTINUATION on an idle stream", of: "http2/5.1/4", .connectionError([E.protocol]),
            HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
        HTTP2Rule(
            "§5.1 DATA on a half-closed stream", of: "http2/5.1/5 http2/6.1/2", .streamError(1, [E.streamClosed]),
            headers(), data()),
        HTTP2Rule(
            "§5.1 HEADERS on a half-closed stream", of: "http2/5.1/6", .streamError(1, [E.streamClosed]), headers(),
            headers()),
        HTTP2Rule(
            "§5.1 CONTINUATION on a half-closed stream", of: "http2/5.1/7 http2/6.10/4",
            .connectionError([E.streamClosed, E.protocol]), headers(),
            HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
        HTTP2Rule("§5.1.1 an even stream", of: "http2/5.1.1/1", .connectionError([E.protocol]), headers(2)),
        HTTP2Rule(
            "§5.1.1 a lower stream than before", of: "http2/5.1.1/2", .connectionError([E.protocol, E.streamClosed]),
            headers(5), headers(3)),
        HTTP2Rule(
            "§5.3.1 HEADERS that depend on themselves", of: "http2/5.3.1/1", .streamError(1, [E.protocol]),
            headers(1, [0, 0, 0, 1, 255] + block(), flags: 37)),
        HTTP2Rule(
            "§5.5 an unknown frame within a header block", of: "http2/5.5/2", .connectionError([E.protocol]),
            headers(1, block(), flags: 1),
            HTTP2Frame(type: 0x42, stream: 1, [0])),
        HTTP2Rule("§6.1 DATA on stream 0", of: "http2/6.1/1", .connectionError([E.protocol]), data(0)),
        HTTP2Rule(
            "§6.1 DATA with more padding than payload", of: "http2/6.1/3", .connectionError([E.protocol]), post(),
            HTTP2Frame(.data, flags: 9, stream: 1, [9, 0x61])),
        HTTP2Rule("§6.2 HEADERS on stream 0", of: "http2/6.2/3", .connectionError([E.protocol]), headers(0)),
        HTTP2Rule(
            "§6.2 HEADERS with more padding than payload", of: "http2/6.2/4", .connectionError([E.protocol]),
            headers(1, [200] + block(), flags: 13)),
        HTTP2Rule(
            "§6.3 PRIORITY on stream 0", of: "http2/6.3/1", .connectionError([E.protocol]),
            HTTP2Frame(.priority, [0, 0, 0, 1, 9])),
        HTTP2Rule(
            "§6.3 PRIORITY of 4 bytes", of: "http2/6.3/2", .streamError(1, [E.frameSize]),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 1])),
        HTTP2Rule(
            "§6.4 RST_STREAM on stream 0", of: "http2/6.4/1", .connectionError([E.protocol]),
            HTTP2Frame(.resetStream, HTTP2Frame.word(8))),
        HTTP2Rule(
            "§6.4 RST_STREAM of 3 bytes", of: "http2/6.4/3", .connectionError([E.frameSize]), headers(),
            HTTP2Frame(.resetStream, stream: 1, [0, 0, 0])),
        HTTP2Rule(
            "§6.5 SETTINGS with ACK and payload", of: "http2/6.5/1", .connectionError([E.frameSize]),
            HTTP2Frame(.settings, flags: 1, [0, 3, 0, 0, 0, 1])),
        HTTP2Rule(
            "§6.5 SETTINGS on a stream", of: "http2/6.5/2", .connectionError([E.protocol]),
            HTTP2Frame(.settings, stream: 1, [0, 3, 0, 0, 0, 1])),
        HTTP2Rule(
            "§6.5 SETTINGS of 3 bytes", of: "http2/6.5/3", .connectionError([E.frameSize]),
            HTTP2Frame(.settings, [0, 3, 0])),
        HTTP2Rule("§6.5.2 ENABLE_PUSH of 2", of: "http2/6.5.2/1", .connectionError([E.protocol]), settings((2, 2))),
        HTTP2Rule(
            "§6.5.2 INITIAL_WINDOW_SIZE above 2³¹ - 1", of: "http2/6.5.2/2 http2/6.9.2/3",
            .connectionError([E.flowControl]), settings((4, 0x8000_0000))),
        HTTP2Rule(
            "§6.5.2 MAX_FRAME_SIZE below 16,384", of: "http2/6.5.2/3", .connectionError([E.protocol]),
            settings((5, 16_383))),
        HTTP2Rule(
            "§6.5.2 MAX_FRAME_SIZE above 2²⁴ - 1", of: "http2/6.5.2/4", .connectionError([E.protocol]),
            settings((5, 16_777_216))),
        HTTP2Rule(
            "§6.6 PUSH_PROMISE of a client", of: "http2/8.2/1", .connectionError([E.protocol]), headers(),
            HTTP2Frame(.pushPromise, flags: 4, stream: 1, HTTP2Frame.word(3) + block())),
        HTTP2Rule(
            "§6.7 PING on a stream", of: "http2/6.7/3", .connectionError([E.protocol]),
            HTTP2Frame(.ping, stream: 1, ping.payload)),
        HTTP2Rule(
            "§6.7 PING of 6 bytes", of: "http2/6.7/4 http2/5.4.1/1 http2/5.4.1/2", .connectionError([E.frameSize]),
            HTTP2Frame(.ping, [0, 0, 0, 0, 0, 0])),
        HTTP2Rule(
            "§6.8 GOAWAY on a stream", of: "http2/6.8/1", .connectionError([E.protocol]),
            HTTP2Frame(.goAway, stream: 1, HTTP2Frame.word(0) + HTTP2Frame.word(0))),
        HTTP2Rule("§6.9 WINDOW_UPDATE of 0", of: "http2/6.9/1", .connectionError([E.protocol]), window(0, 0)),
        HTTP2Rule(
            "§6.9 WINDOW_UPDATE of 0 on a stream", of: "http2/6.9/2", .streamError(1, [E.protocol]), post(),
            window(1, 0)),
        HTTP2Rule(
            "§6.9 WINDOW_UPDATE of 3 bytes", of: "http2/6.9/3", .connectionError([E.frameSize]),
            HTTP2Frame(.windowUpdate, [0, 0, 1])),
        HTTP2Rule(
            "§6.9.1 a window above 2³¹ - 1", of: "http2/6.9.1/2", .connectionError([E.flowControl]),
            window(0, 0x7FFF_FFFF),
            window(0, 0x7FFF_FFFF)),
        HTTP2Rule(
            "§6.9.1 a stream's window above 2³¹ - 1", of: "http2/6.9.1/3", .streamError(1, [E.flowControl]), post(),
            window(1, 0x7FFF_FFFF),
            window(1, 0x7FFF_FFFF)),
        HTTP2Rule(
            "§6.9.2 a window that SETTINGS make too large", .streamError(1, [E.flowControl]), post(),
            window(1, 0x7FFF_0000), settings((4, 0x7FFF_FFFF))),
        HTTP2Rule(
            "§6.10 HEADERS after END_HEADERS' CONTINUATION", of: "http2/6.10/5", .connectionError([E.protocol]),
            headers(1, Array(block().prefix(20)), flags: 1),
            HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(20))),
            HTTP2Frame(.continuation, flags: 4, stream: 1, [])),
        HTTP2Rule(
            "§6.10 DATA within a header block", of: "http2/6.10/2", .connectionError([E.protocol]),
            headers(1, block(), flags: 0), data()),
        HTTP2Rule(
            "§6.10 CONTINUATION on stream 0", of: "http2/6.10/3", .connectionError([E.protocol]),
            headers(1, block(), flags: 1),
            HTTP2Frame(.continuation, flags: 4, stream: 0, [])),
        HTTP2Rule(
            "§6.10 CONTINUATION of another stream", .connectionError([E.protocol]), headers(1, block(), flags: 1),
            HTTP2Frame(.continuation, flags: 4, stream: 3, [])),
        HTTP2Rule(
            "§6.10 CONTINUATION after DATA", of: "http2/6.10/6", .connectionError([E.protocol]), post(), data(),
            HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
        HTTP2Rule(
            "§5.1 DATA after RST_STREAM", of: "http2/5.1/8", .streamError(1, [E.streamClosed]), post(), reset, data()),
        HTTP2Rule(
            "§5.1 HEADERS after RST_STREAM", of: "http2/5.1/9", .streamError(1, [E.streamClosed]), post(), reset,
            headers()),
        HTTP2Rule(
            "§5.1 CONTINUATION after RST_STREAM", of: "http2/5.1/10", .connectionError([E.streamClosed, E.protocol]),
            post(), reset, HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
        HTTP2Rule(
            "§5.1 DATA on a closed stream", of: "http2/5.1/11", .streamError(1, [E.streamClosed]), headers(),
            Awaited.end(1), data()),
        HTTP2Rule(
            "§5.1 HEADERS on a closed stream", of: "http2/5.1/12", .connectionError([E.streamClosed]), headers(),
            Awaited.end(1), headers()),
        HTTP2Rule(
            "§5.1 CONTINUATION on a closed stream", of: "http2/5.1/13", .connectionError([E.streamClosed, E.protocol]),
            headers(), Awaited.end(1), HTTP2Frame(.continuation, flags: 4, stream: 1, block())),
        HTTP2Rule(
            "§5.1.2 a stream more than may be", of: "http2/5.1.2/1", .streamError(257, [E.protocol, E.refused]),
            settings((4, 0)), (0...128).map { headers(2 * $0 + 1) }),
        HTTP2Rule(
            "§5.3.1 PRIORITY that depends on itself", of: "http2/5.3.1/2", .streamError(1, [E.protocol]),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 1, 9])),
    ]
}
