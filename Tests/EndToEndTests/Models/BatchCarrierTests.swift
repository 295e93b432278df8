import Foundation
import Testing

extension EndToEnd {
    /// The request of a batch as a request: what it carries, how it waits, fails and is given up.
    @Suite struct BatchCarriers {
        /// Answers a V2 request with its own values; those with 1 among them when the gate is open.
        private static func echo(_ gate: Gate? = nil) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                guard let values = try? BatchCarriers.rows(of: request) else { return connection.answer(400, "{}") }
                if values.contains(1) { gate?.wait() }
                connection.answer(
                    200,
                    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":"
                        + "[\(values.count),1],\"data\":\(values)}]}", fields: ["Content-Type: application/json"])
            }
        }

        private static func rows(of request: HTTPMessage) throws -> [Int] {
            try JSON(request.bodyText)["inputs"][0]["data"].integers
        }

        /// Two rows are a batch, and one waits for a second as long as a test lasts.
        private static func configuration(_ endpoints: [String], _ model: [String] = []) -> GatewayConfiguration {
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.batcher = "size-or-delay"
            configuration.models = [
                "  m:", "    versions:", "      \"1\": { endpoints: [ \(list) ], protocol: open-inference }",
                "    batching: { max_batch_size: 2, max_delay_ms: 60000 }",
            ]
            configuration.models += model.map { "    " + $0 }
            return configuration
        }

        private static let one = "concurrency_limit: { algorithm: fixed, limit: 1 }"

        private static func send(_ gateway: Gateway, _ values: [Int], fields: [String] = []) throws -> Socket {
            let body =
                "{\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[\(values.count),1],"
                + "\"data\":\(values)}]}"
            let lines = ["POST /v2/models/m/infer HTTP/1.1", "Host: a", "Content-Length: \(body.utf8.count)"] + fields
            let socket = try gateway.connect()
            socket.send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
            return socket
        }

        private static func read(_ socket: Socket) throws -> HTTPMessage {
            try #require(try MessageReader(socket).response(to: "POST"))
        }

        private static func waitForDepth(_ gateway: Gateway, _ depth: Double) throws {
            try waitUntil("\(depth) wait") { try gateway.metric("sluice_queue_depth", ["model=\"m\""]) == depth }
        }

        @Test func itHasTheFieldsThatWereSetInAllOfItsMembers() throws {
            let backend = try Self.echo()
            var configuration = Self.configuration([backend.endpoint])
            configuration.plugins = [
                "  - name: headers", "    library: libHeaders.so",
                "    config: { request: { set: { authorization: Bearer of-the-gateway, x-for: \"$(header:x-who)\" },"
                    + " append: { x-from: one, X-From: two } } }",
            ]
            configuration.filters = ["headers"]
            let gateway = try Gateway(configuration)
            for who in [["1", "2"], ["3", "3"]] {
                let sockets = try who.map { try Self.send(gateway, [7], fields: ["X-Who: \($0)", "X-Own: 1"]) }
                for socket in sockets { #expect(try Self.read(socket).status == 200) }
            }
            #expect(backend.requests.count == 2)
            for request in backend.requests {
                #expect(request.field("authorization") == "Bearer of-the-gateway")
                // A client's own are not the others' to send.
                #expect(request.field("x-own") == nil)
                #expect(request.fields.filter { $0.name.lowercased() == "x-from" }.map(\.value) == ["one", "two"])
            }
            #expect(backend.requests.map { $0.field("x-for") } == [nil, "3"])
        }

        @Test func itsRetriesAreCounted() throws {
            let dead = try Ports.refusing()
            let backend = try Self.echo()
            var configuration = Self.configuration(
                ["http://127.0.0.1:\(dead)", backend.endpoint],
                ["retry_policy: { max_attempts: 2, backoff_ms: 0 }"])
            configuration.balancer = "round-robin"
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            for _ in 0..<4 {
                let sockets = [try Self.send(gateway, [7]), try Self.send(gateway, [8])]
                for socket in sockets { #expect(try Self.read(socket).status == 200) }
            }
            #expect(try gateway.metric("sluice_retries_total", ["model=\"m\""]) == 2)
        }

        @Test func oneThatNobodyWaitsForReachesNoEndpoint() throws {
            let gate = Gate()
            defer { gate.open() }
            let backend = try Self.echo(gate)
            let gateway = try Gateway(Self.configuration([backend.endpoint], [Self.one]))
            let first = try Self.send(gateway, [1, 1])
            try waitUntil("it is under way") { backend.requests.count == 1 }
            let sockets = [try Self.send(gateway, [2]), try Self.send(gateway, [3])]
            try Self.waitForDepth(gateway, 1)
            sockets[0].close()
            // A member whose client waits is answered, with the rows of one that has left.
            let others = [try Self.send(gateway, [4]), try Self.send(gateway, [5])]
            try Self.waitForDepth(gateway, 2)
            others[1].close()
            sockets[1].close()
            try Self.waitForDepth(gateway, 1)
            gate.open()
            #expect(try Self.read(first).status == 200)
            let answer = try Self.read(others[0])
            #expect(try JSON(answer.bodyText)["outputs"][0]["data"].integers == [4])
            // Whichever of the two came first.
            #expect(try backend.requests.map { try Self.rows(of: $0).sorted() } == [[1, 1], [4, 5]])
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
        }

        @Test func oneWhoseClientsLeaveIsCancelledAtItsEndpoint() throws {
            let gate = Gate()
            defer { gate.open() }
            let backend = try Self.echo(gate)
            let gateway = try Gateway(Self.configuration([backend.endpoint], [Self.one]))
            let sockets = [try Self.send(gateway, [1]), try Self.send(gateway, [2])]
            try waitUntil("it is under way") { backend.requests.count == 1 }
            for socket in sockets { socket.close() }
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"cancelled\""]) == 1)
            // Its place is free.
            let others = [try Self.send(gateway, [3]), try Self.send(gateway, [4])]
            for socket in others { #expect(try Self.read(socket).status == 200) }
        }

        /// Each of its members has reached its limit; the batch has none of its own.
        @Test func itsMembersCountTheirTime() throws {
            let never = Gate()
            defer { never.open() }
            let backend = try Self.echo(never)
            var configuration = Self.configuration([backend.endpoint])
            configuration.gateway = ["  routing: { default_timeout_ms: 300 }"]
            let gateway = try Gateway(configuration)
            let sockets = [try Self.send(gateway, [1]), try Self.send(gateway, [1])]
            for socket in sockets { #expect(try Self.read(socket).status == 504) }
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
            #expect(try gateway.metric("sluice_timeouts_total") == 2)
        }

        /// As of a call by itself: its client leaves an endpoint as little time as it likes.
        @Test func theHasteOfItsClientsSaysNothingOfTheEndpoint() throws {
            let never = Gate()
            defer { never.open() }
            let backend = try Self.echo(never)
            var configuration = Self.configuration([backend.endpoint])
            configuration.models[3] = "    batching: { max_batch_size: 2, max_delay_ms: 1 }"
            configuration.gateway = [
                "  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 600, scope: both }",
                "  outlier_detection: { consecutive_errors: 1, base_ejection_ms: 600000 }",
            ]
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let tensor = Wire.text(1, "x") + Wire.text(2, "INT64") + Wire.number(3, 1) + Wire.number(3, 1)
            let one: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
            let message = Wire.text(1, "m") + Wire.bytes(5, tensor) + Wire.bytes(7, one)
            for _ in 0..<20 {
                let answer = try gateway.call(
                    MalformedCall.inferPath, fields: [("grpc-timeout", "20m")], message: message)
                #expect(answer.field("grpc-status") == "4")
            }
            try waitUntil("nothing is left") { try gateway.metric("sluice_exchanges_in_flight") == 0 }
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"cancelled\""]) > 0)
            #expect(try gateway.metric("sluice_attempts_total", ["outcome=\"timeout\""]) == 0)
            #expect(try gateway.metric("sluice_breaker_opened_total") == 0)
            #expect(try gateway.metric("sluice_ejections_total") == 0)
        }

        @Test func itWaitsInTheTurnOfItsMostFavouredTenant() throws {
            let gate = Gate()
            defer { gate.open() }
            let backend = try Self.echo(gate)
            var configuration = Self.configuration([backend.endpoint], [Self.one])
            configuration.gateway = ["  queue: { ageing_ms: 0, tenant_weights: { gold: 9 } }"]
            configuration.plugins = [
                "  - name: api-key", "    library: libApiKey.so",
                "    config: { keys: [ { key: g, tenant: gold }, { key: t, tenant: tin } ] }",
            ]
            configuration.filters = ["api-key"]
            let gateway = try Gateway(configuration)
            var sockets = [try Self.send(gateway, [1, 1], fields: ["X-Api-Key: t"])]
            try waitUntil("it is under way") { backend.requests.count == 1 }
            // Pairs of tin, of gold, and of both; all of tin's own come first.
            for (index, keys) in [("t", "t"), ("t", "t"), ("t", "t"), ("g", "g"), ("t", "g"), ("g", "t")].enumerated() {
                for key in [keys.0, keys.1] {
                    sockets.append(try Self.send(gateway, [10 + index], fields: ["X-Api-Key: \(key)"]))
                    if key == keys.0, keys.0 != keys.1 {
                        // The order of the two in their batch.
                        try waitUntil("the first of them waits") {
                            try gateway.metric("sluice_exchanges_in_flight") >= Double(sockets.count)
                        }
                    }
                }
                try Self.waitForDepth(gateway, Double(index + 1))
            }
            gate.open()
            for socket in sockets { #expect(try Self.read(socket).status == 200) }
            let order = try backend.requests.dropFirst().map { try Self.rows(of: $0)[0] - 10 }
            #expect(order.count == 6)
            // One of tin's may go before gold's; the other two wait until those are served.
            #expect(Set(order.prefix(4)).isSuperset(of: [3, 4, 5]), "\(order)")
        }

        @Test(arguments: [429, 503]) func anErrorIsAnAnswerOrAFailureAsItIsAlone(status: Int) throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(status, "{\"error\":\"too much\"}", fields: ["Content-Type: application/json"])
            }
            for batches in [true, false] {
                var configuration = Self.configuration(
                    [backend.endpoint], ["fallback: { response: { status: 203, body: sorry } }"])
                if !batches { configuration.batcher = nil }
                let gateway = try Gateway(configuration)
                let sockets = [try Self.send(gateway, [7]), try Self.send(gateway, [8])]
                for socket in sockets {
                    let answer = try Self.read(socket)
                    #expect(answer.status == (status == 429 ? 429 : 203), "\(answer.bodyText)")
                }
            }
        }
    }
}
