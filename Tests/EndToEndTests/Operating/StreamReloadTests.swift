import Foundation
import Testing

extension EndToEnd {
    /// The reloads of `ReloadTests`, with streams that live through all of them.
    @Suite struct StreamReload {
        /// A backend of HTTP/1.1 whose answers grow by a piece whenever the test says so.
        private static func drip(_ drops: Counter) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                guard request.target == "/drip" else { return connection.answer(200, "quick") }
                connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for drop in 1...Self.reloads + 1 {
                    try? waitUntil("drop \(drop) may fall", .after(seconds: 120)) { drops.value >= drop }
                    connection.socket.send("1\r\n\(drop % 10)\r\n")
                }
                connection.socket.send("0\r\n\r\n")
            }
        }

        private static let reloads = 24
        private static let calls: [UInt32] = [1, 3, 5, 7, 9, 11, 13, 15]

        @Test func noStreamIsBroken() throws {
            let drops = Counter()
            let (echo, drip) = (try ScriptedBackend.echoOfCalls(seconds: 300), try Self.drip(drops))
            let others = (try ScriptedBackend.echoOfCalls(seconds: 300), try Self.drip(Counter()))
            let plugins = try TemporaryDirectory()
            try CompiledPlugin.c(CompiledPlugin.balancer(build: "one", highest: false), "one.so", in: plugins)
            try CompiledPlugin.c(CompiledPlugin.balancer(build: "two", highest: true), "two.so", in: plugins)
            func configuration(_ turn: Int) -> GatewayConfiguration {
                var made = GatewayConfiguration()
                made.adapters = ["passthrough"]
                made.balancer = "edge"
                made.gateway = ["  reload: { drain_timeout_ms: 120000 }"]
                made.plugins = ["  - { name: edge, library: \(plugins.file(turn % 2 == 0 ? "one.so" : "two.so")) }"]
                made.routes = "[ { prefix: /test., model: calls }, { prefix: /, model: web } ]"
                // The lowest and the highest of the list are picked in turn, so the order keeps the endpoint or not.
                let (grpc, web) = (
                    [echo.grpcEndpoint, others.0.grpcEndpoint], [drip.endpoint, others.1.endpoint]
                )
                func list(_ endpoints: [String]) -> String {
                    (turn % 3 == 0 ? endpoints : endpoints.reversed()).map { "\"\($0)\"" }.joined(separator: ", ")
                }
                made.models = [
                    "  calls: { versions: { \"1\": { endpoints: [ \(list(grpc)) ], protocol: passthrough } } }",
                    "  web: { versions: { \"1\": { endpoints: [ \(list(web)) ], protocol: passthrough } } }",
                ]
                return made
            }
            let gateway = try Gateway(configuration(0))
            // Two connections of calls, and one whose answers are of HTTP/1.1.
            let clients = try (0..<2).map { _ in try gateway.http2() }
            for client in clients {
                for stream in Self.calls {
                    client.request(
                        stream, "POST", "/test.Echo/Chat",
                        fields: [("content-type", "application/grpc"), ("te", "trailers")], ends: false)
                }
            }
            let reader = try gateway.http2()
            reader.request(1, "GET", "/drip")
            try waitUntil("the slow answer is under way") { drip.openCount == 1 }
            for turn in 0...Self.reloads {
                if turn > 0 {
                    try gateway.write(configuration(turn))
                    if turn % 5 == 0 {
                        // By signal, as an operator does; the metric tells when it is over.
                        gateway.process.signal(SIGHUP)
                        try waitUntil("reload \(turn) is done") {
                            try gateway.metric("sluice_generation") == Double(turn + 1)
                        }
                    } else {
                        try #require(try gateway.reload().status == 0, "reload \(turn)")
                    }
                }
                for client in clients {
                    for stream in Self.calls {
                        let message: [UInt8] = [0, 0, 0, 0, 2, UInt8(turn), UInt8(stream)]
                        client.send(HTTP2Frame(.data, stream: stream, message))
                        let have = (turn + 1) * message.count
                        if client.answers[stream]?.body.count ?? 0 < have {
                            _ = try client.read { _ in client.answers[stream]?.body.count ?? 0 >= have }
                        }
                        #expect(client.answers[stream]?.body.suffix(7) == message[...], "turn \(turn), \(stream)")
                    }
                }
                drops.add(1)
                if reader.answers[1]?.body.count ?? 0 <= turn {
                    _ = try reader.read { _ in reader.answers[1]?.body.count ?? 0 > turn }
                }
                // On the same connections new requests are of the new configuration.
                let fresh = UInt32(2 * turn + 3)
                reader.request(fresh)
                #expect(try reader.answer(fresh).bodyText == "quick", "turn \(turn)")
            }
            #expect(try gateway.metric("sluice_generations_live") >= 2)
            for client in clients {
                for stream in Self.calls {
                    client.send(HTTP2Frame(.data, flags: 1, stream: stream))
                    let answer = try client.answer(stream)
                    #expect(answer.grpcStatus == "0" && answer.resetCode == nil, "\(stream): \(answer)")
                }
                #expect(client.goAway == nil)
            }
            #expect(try reader.answer(1).body.count == Self.reloads + 1)
            try waitUntil("old generations are gone") { try gateway.metric("sluice_generations_live") == 1 }
        }
    }
}
