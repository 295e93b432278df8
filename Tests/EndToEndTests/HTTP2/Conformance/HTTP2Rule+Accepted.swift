extension HTTP2Rule {
    /// Frames as they should be.
    static let accepted: [HTTP2Rule] = [
        HTTP2Rule("§3.4 a preface and SETTINGS", of: "generic/1/1", .alive),
        HTTP2Rule("§3.4 the server begins with SETTINGS", of: "http2/3.5/1", .settingsFirst),
        HTTP2Rule(
            "§4.1 a frame of unknown type", of: "http2/4.1/1 http2/5.5/1", .alive,
            HTTP2Frame(type: 0x16, [0, 0, 0, 0, 0, 0, 0, 0])),
        HTTP2Rule(
            "§4.1 flags without meaning", of: "http2/4.1/2", .pong(ping.payload),
            HTTP2Frame(.ping, flags: 0x16, ping.payload)),
        HTTP2Rule(
            "§4.1 the reserved bit", of: "http2/4.1/3", .pong(ping.payload),
            HTTP2Frame(.ping, flags: 0, stream: 0x8000_0000, ping.payload)),
        HTTP2Rule("§4.2 DATA of 16,384 bytes", of: "http2/4.2/1", .answered(1, 200), post(), data(1, 16_384)),
        HTTP2Rule(
            "§5.1 PRIORITY on an idle stream", of: "generic/2/1", .answered(1, 200),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 3, 9]),
            headers()),
        HTTP2Rule(
            "§5.1 WINDOW_UPDATE on a half-closed stream", .answered(1, 200), headers(), window(1, 100)),
        HTTP2Rule(
            "§5.1 PRIORITY on a half-closed stream", .answered(1, 200), headers(),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 3, 9])),
        HTTP2Rule(
            "§5.1 RST_STREAM on a half-closed stream", of: "generic/2/4", .alive, headers(),
            HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(8))),
        HTTP2Rule(
            "§5.5 an unknown frame on a stream", .answered(1, 200), post(), HTTP2Frame(type: 0x42, stream: 1, [1]),
            data()),
        HTTP2Rule("§6.1 DATA", of: "generic/3.1/1 generic/4/3", .answered(1, 200), post(), data()),
        HTTP2Rule("§6.1 several DATA", of: "generic/3.1/2", .answered(1, 200), post(), data(1, 4, flags: 0), data()),
        HTTP2Rule(
            "§6.1 DATA with padding", of: "generic/3.1/3", .answered(1, 200), post(),
            HTTP2Frame(.data, flags: 9, stream: 1, [4, 0x61, 0, 0, 0, 0])),
        HTTP2Rule("§6.2 HEADERS", of: "generic/3.2/1 generic/4/1", .answered(1, 200), headers()),
        HTTP2Rule(
            "§6.2 HEADERS with padding", of: "generic/3.2/2", .answered(1, 200),
            headers(1, [4] + block() + [0, 0, 0, 0], flags: 13)),
        HTTP2Rule(
            "§6.2 HEADERS with priority", of: "generic/3.2/3", .answered(1, 200),
            headers(1, [0, 0, 0, 0, 255] + block(), flags: 37)),
        HTTP2Rule(
            "§8.1 trailers",
            of: "generic/4/4", .answered(1, 200), post(), data(1, 4, flags: 0),
            headers(1, HTTP2Client.block([("x-t", "1")]))),
        HTTP2Rule(
            "§6.3 PRIORITY", of: "generic/3.3/3", .answered(1, 200),
            HTTP2Frame(.priority, stream: 3, [0, 0, 0, 1, 255]), headers()),
        HTTP2Rule(
            "§6.3 PRIORITY, exclusive",
            of: "generic/3.3/4", .answered(1, 200), HTTP2Frame(.priority, stream: 3, [128, 0, 0, 1, 255]), headers()),
        HTTP2Rule(
            "§6.5 SETTINGS", of: "generic/3.5/1 http2/6.5.3/2", .settingsAcknowledged,
            settings((1, 4_096), (3, 100), (4, 65_535), (5, 16_384))),
        HTTP2Rule("§6.5.2 an unknown setting", of: "http2/6.5.2/5", .settingsAcknowledged, settings((0xFF, 1))),
        HTTP2Rule(
            "§6.5.3 a setting twice: the last one counts", .answered(1, 200), settings((4, 0), (4, 65_535)), headers()),
        HTTP2Rule("§6.7 PING", of: "generic/3.7/1 http2/6.7/1", .pong(ping.payload), ping),
        HTTP2Rule(
            "§6.8 GOAWAY lets its streams end", of: "generic/3.8/1", .answered(1, 200), headers(),
            HTTP2Frame(.goAway, HTTP2Frame.word(0) + HTTP2Frame.word(0))),
        HTTP2Rule(
            "§7 GOAWAY with an unknown code", of: "http2/7/1", .answered(1, 200), headers(),
            HTTP2Frame(.goAway, HTTP2Frame.word(0) + HTTP2Frame.word(255))),
        HTTP2Rule(
            "§7 RST_STREAM with an unknown code", of: "http2/7/2", .alive, headers(),
            HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(255))),
        HTTP2Rule("§6.9 WINDOW_UPDATE", .answered(1, 200), window(0, 100), headers(), window(1, 100)),
        HTTP2Rule(
            "§6.10 CONTINUATION", of: "generic/3.10/1", .answered(1, 200),
            headers(1, Array(block().prefix(20)), flags: 1),
            HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(20)))),
        HTTP2Rule(
            "§6.10 several CONTINUATION", of: "generic/3.10/2 http2/6.10/1", .answered(1, 200),
            headers(1, Array(block().prefix(20)), flags: 1),
            HTTP2Frame(.continuation, stream: 1, Array(block().dropFirst(20).prefix(9))),
            HTTP2Frame(.continuation, flags: 4, stream: 1, Array(block().dropFirst(29)))),
        // Taken as a request, and as in HTTP/1.1 no route is of a server as a whole.
        HTTP2Rule("§8.3.1 OPTIONS *", .answered(1, 404), headers(1, block("OPTIONS", path: "*"))),
        HTTP2Rule("§8.2.2 te: trailers", .answered(1, 200), headers(1, block("GET", ("te", "trailers")))),
        HTTP2Rule("HEAD", of: "generic/4/2", .answered(1, 200), headers(1, block("HEAD"))),
        HTTP2Rule(
            "§5.1 WINDOW_UPDATE on a half-closed stream counts", of: "generic/2/2", .alive, settings((4, 0)), headers(),
            window(1, 1), Awaited.data(1, 1)),
        HTTP2Rule(
            "§5.1 PRIORITY on a half-closed stream, its window at zero", of: "generic/2/3", .alive, settings((4, 0)),
            headers(), HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 9]), window(1, 1), Awaited.data(1, 1)),
        HTTP2Rule(
            "§5.1 PRIORITY on a closed stream", of: "generic/2/5", .alive, headers(), Awaited.end(1),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 9])),
        HTTP2Rule(
            "§6.3 PRIORITY of weight 1", of: "generic/3.3/1", .answered(1, 200),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 0]), headers()),
        HTTP2Rule(
            "§6.3 PRIORITY of weight 256", of: "generic/3.3/2", .answered(1, 200),
            HTTP2Frame(.priority, stream: 1, [0, 0, 0, 0, 255]), headers()),
        HTTP2Rule(
            "§5.1.1 PRIORITY on an idle stream, then HEADERS on a lower one", of: "generic/3.3/5", .answered(1, 200),
            HTTP2Frame(.priority, stream: 7, [0, 0, 0, 0, 255]), headers()),
        HTTP2Rule(
            "§6.4 RST_STREAM", of: "generic/3.4/1", .alive, post(),
            HTTP2Frame(.resetStream, stream: 1, HTTP2Frame.word(8))),
        HTTP2Rule(
            "§6.5.3 of a setting twice the last one counts", of: "http2/6.5.3/1", .alive, settings((4, 100), (4, 1)),
            headers(), Awaited.data(1, 1)),
        HTTP2Rule(
            "§6.7 PING with ACK is not answered", of: "http2/6.7/2", .pong(ping.payload),
            HTTP2Frame(.ping, flags: 1, [1, 1, 1, 1, 1, 1, 1, 1]), ping),
        HTTP2Rule(
            "§6.9 WINDOW_UPDATE of the connection", of: "generic/3.9/1", .answered(1, 200), window(0, 1), headers()),
        HTTP2Rule(
            "§6.9 WINDOW_UPDATE of a stream", of: "generic/3.9/2", .answered(1, 200), post(), window(1, 1), data()),
        HTTP2Rule(
            "§6.9.1 a window of 1", of: "http2/6.9.1/1", .alive, settings((4, 1)), Awaited.acknowledgement, headers(),
            Awaited.data(1, 1)),
        HTTP2Rule(
            "§6.9.2 SETTINGS that open the window of a stream", of: "http2/6.9.2/1", .alive, settings((4, 0)),
            Awaited.acknowledgement, headers(), settings((4, 1)), Awaited.data(1, 1)),
        HTTP2Rule(
            "§6.9.2 a window below zero", of: "http2/6.9.2/2", .alive, settings((4, 3)), Awaited.acknowledgement,
            headers(), Awaited.data(1, 3), settings((4, 2)), Awaited.acknowledgement, window(1, 2), Awaited.data(1, 1)),
    ]
}
