import Foundation
import Testing

extension EndToEnd {
    /// What goes wrong between two events: edges told of once, second attempts, bodies that nobody wanted.
    @Suite struct EdgeCases {
        @Test func aBackendThatAnswersBeforeItIsAskedIsHeard() throws {
            let backend = try ScriptedBackend { connection in
                // In the event of the connect: response and end, before a byte of the request was read.
                connection.answer(503, "too busy", fields: ["Connection: close"])
                connection.socket.shutdownSending()
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            for _ in 0..<10 { #expect(try gateway.get("/").bodyText == "too busy") }
        }

        @Test func aHeadWaitsForItsSmallBodyAMomentOnly() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n")
            // The client sends its body only when the endpoint has the head: a proxy that gathers would wait for ever.
            try waitUntil("the endpoint has the head") {
                backend.received.first.map { text($0).contains("Content-Length: 8") } ?? false
            }
            socket.send("half")
            socket.send("rest")
            let reader = MessageReader(socket)
            #expect(try reader.response(to: "POST")?.status == 200)
            #expect(backend.requests.first.map { text($0.body) } == "halfrest")
            // And one whose body follows at once arrives whole.
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n")
            socket.send(String(repeating: "x", count: 5_000))
            #expect(try reader.response(to: "POST")?.status == 200)
            #expect(backend.requests.last?.body.count == 5_000)
        }

        @Test func aBodyThatWasToBeSentAgainIsNotTheNextRequest() throws {
            // The first connection is stale at its second request; a second connection is not to be had.
            let box = Counter()
            let backend = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                connection.answer()
                guard try connection.reader.request() != nil else { return }
                try? waitUntil("the listener is closed") { box.value > 0 }
                connection.socket.reset()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/").status == 200)
            let socket = try gateway.connect()
            let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            socket.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \(smuggled.utf8.count)\r\n\r\n\(smuggled)")
            try waitUntil("the second request is there") {
                backend.received.first.map { text($0).contains("/smuggled") } ?? false
            }
            backend.stopListening()
            box.add(1)
            let reader = MessageReader(socket)
            #expect(try reader.response(to: "PUT")?.status == 503)
            socket.send("GET /v HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            #expect(try reader.response()?.status == 503)
            #expect(try reader.rest().isEmpty)
        }

        @Test func aRequestWithABodyThatWaitsKeepsItsDeadline() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                _ = connection.socket.closedByPeer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 1")
            configuration.workers = 1
            configuration.gateway = [
                "  routing: { default_timeout_ms: 300 }", "  limits: { body_timeout_ms: 20000 }",
            ]
            let gateway = try Gateway(configuration)
            let sockets = try (0..<3).map { _ in try gateway.connect() }
            for socket in sockets { socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody") }
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST")?.status == 504) }
        }

        @Test func pipelinedRequestsOfAnyNumberNeedNoStack() throws {
            let gateway = try Gateway(.web(["http://127.0.0.1:1"]))
            let socket = try gateway.connect()
            let count = 20_000
            let writer = Thread {
                let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                for _ in 0..<count / 100 { socket.send(String(repeating: request, count: 100)) }
            }
            writer.start()
            let reader = MessageReader(socket)
            for _ in 0..<count { try #require(try reader.response()?.status == 503) }
        }

        @Test func aFullQueueDropsItsOldest() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection, _ in
                try? waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.answer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 1")
            configuration.workers = 1
            configuration.gateway = ["  queue: { max_size: 2, when_full: drop_oldest }"]
            let gateway = try Gateway(configuration)
            // The first is served, the last two wait; the ones between were dropped, each for a later one.
            let sockets = try (0..<6).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() {
                socket.send("GET /\(index) HTTP/1.1\r\nHost: a\r\n\r\n")
                if index == 0 { try waitUntil("the first is under way") { backend.requests.count == 1 } }
                if index > 2 { #expect(try MessageReader(sockets[index - 2]).response()?.status == 503) }
            }
            release.add(1)
            for index in [0, 4, 5] { #expect(try MessageReader(sockets[index]).response()?.status == 200) }
            #expect(backend.requests.map(\.target) == ["/0", "/4", "/5"])
        }

        @Test func requestsThatWaitBehindDroppedOnesTakeTheirTurn() throws {
            let release = Counter()
            let backend = try ScriptedBackend { connection, _ in
                try? waitUntil("the test lets the backend answer") { release.value > 0 }
                connection.answer()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint], version: ", max_connections: 1")
            configuration.workers = 1
            configuration.gateway = ["  queue: { max_size: 1, when_full: drop_oldest }"]
            let gateway = try Gateway(configuration)
            let first = try gateway.connect()
            first.send("GET /0 HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the first is under way") { backend.requests.count == 1 }
            // Each one that is dropped makes room for the next of its own client, which drops the other client's.
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for socket in sockets {
                socket.send(String(repeating: "GET /p HTTP/1.1\r\nHost: a\r\n\r\n", count: 40))
            }
            try waitUntil("all but the last were dropped") {
                try gateway.metric("sluice_rejected_total", ["queue_dropped"]) == 79
            }
            #expect(try gateway.metric("sluice_queue_depth", ["web"]) == 1)
            release.add(1)
            #expect(try MessageReader(first).response()?.status == 200)
        }

        @Test func rowsBeyondAllMeasureAreNobodysProblem() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration()
            configuration.batcher = "size-or-delay"
            configuration.workers = 1
            configuration.models = [
                "  m:", "    batching: { max_batch_size: 8, max_delay_ms: 50 }", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference }",
            ]
            let gateway = try Gateway(configuration)
            let body = "{\"inputs\":[{\"name\":\"i\",\"datatype\":\"FP32\",\"shape\":[4294967295,0],\"data\":[]}]}"
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for socket in sockets {
                socket.send(
                    "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n" + body)
            }
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST") != nil) }
            #expect(gateway.process.poll() == nil)
        }
    }
}
