import Foundation
import Testing

extension EndToEnd {
    /// Requests of many connections share upstream calls, and each gets its own rows back.
    @Suite struct Batching {
        /// Answers a V2 request with ten times its input, one value a row; a value of 666 fails the whole request.
        private static func tenfold() throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                guard let message = try? JSON(request.bodyText) else { return connection.answer(400, "{}") }
                let data = message["inputs"][0]["data"].numbers
                guard !data.contains(666) else { return connection.answer(400, "{\"error\": \"not that number\"}") }
                let answer = data.map { "\(Int($0 * 10))" }.joined(separator: ",")
                connection.answer(
                    200,
                    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":"
                        + "[\(data.count)],"
                        + "\"data\":[\(answer)]}]}",
                    fields: ["Content-Type: application/json", "Cache-Control: max-age=7"])
            }
        }

        private static func configuration(_ backend: ScriptedBackend, rows: Int, delay: Int) -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.batcher = "size-or-delay"
            configuration.models = [
                "  m:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference }",
                "    batching: { max_batch_size: \(rows), max_delay_ms: \(delay) }",
            ]
            return configuration
        }

        private static func request(_ values: [Int], id: Int) -> String {
            let body =
                "{\"id\":\"\(id)\",\"inputs\":[{\"name\":\"x\",\"datatype\":\"INT64\",\"shape\":[\(values.count),1],"
                + "\"data\":\(values)}]}"
            return "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
        }

        private static func rows(of request: HTTPMessage) throws -> Int {
            try JSON(request.bodyText)["inputs"][0]["shape"][0].integer ?? 0
        }

        @Test func requestsOfManyConnectionsShareACall() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 8, delay: 500))
            let sockets = try (0..<32).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request([index], id: index)) }
            for (index, socket) in sockets.enumerated() {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(response.status == 200, "\(response.bodyText)")
                let answer = try JSON(response.bodyText)
                #expect(answer["outputs"][0]["data"].integers == [index * 10])
                #expect(answer["outputs"][0]["shape"].integers == [1])
                #expect(answer["id"].text == "\(index)")
                // What the endpoint says to caches is about each member.
                #expect(response.field("cache-control") == "max-age=7")
            }
            let sizes = try backend.requests.map { try Self.rows(of: $0) }
            #expect(sizes.reduce(0, +) == 32)
            #expect(sizes.allSatisfy { $0 <= 8 })
            #expect(sizes.count <= 8, "\(sizes)")
            #expect(try gateway.metric("sluice_batch_rows_count", ["model=\"m\""]) == Double(sizes.count))
        }

        @Test func membersOfSeveralRowsAreSplitRight() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 16, delay: 300))
            let members = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10], [11], [12, 13]]
            let sockets = try members.map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request(members[index], id: index)) }
            for (index, socket) in sockets.enumerated() {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                let output = try JSON(response.bodyText)["outputs"][0]
                #expect(output["data"].integers == members[index].map { $0 * 10 })
                #expect(output["shape"].integers == [members[index].count])
            }
            #expect(backend.requests.count < members.count)
        }

        @Test func aLoneRequestWaitsNoLongerThanTheDelay() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 1_000, delay: 50))
            #expect(try gateway.exchange(Self.request([4], id: 1), method: "POST").status == 200)
            #expect(backend.requests.count == 1)
        }

        @Test func differentShapesNeverShareACall() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 8, delay: 200))
            let wide = Self.request([1, 2], id: 1).replacingOccurrences(of: "[2,1]", with: "[1,2]")
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            sockets[0].send(Self.request([1], id: 0))
            sockets[1].send(wide)
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST")?.status != nil) }
            #expect(backend.requests.count == 2)
        }

        @Test func anErrorOfOneMemberStaysItsOwn() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 4, delay: 300))
            let values = [1, 666, 3, 4]
            let sockets = try values.map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request([values[index]], id: index)) }
            for (index, socket) in sockets.enumerated() {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                let answer = try JSON(response.bodyText)
                if values[index] == 666 {
                    #expect(response.status == 400)
                    #expect(answer["error"].text?.contains("not that number") == true, "\(response.bodyText)")
                } else {
                    #expect(response.status == 200)
                    #expect(answer["outputs"][0]["data"].integers == [values[index] * 10])
                }
            }
            // All four stood in one call first, so that it was a batch that failed.
            #expect(try Self.rows(of: backend.requests[0]) == 4)
            // The next batch is served.
            #expect(try gateway.exchange(Self.request([5], id: 9), method: "POST").status == 200)
        }

        /// A batch is one request to all that bounds requests.
        @Test func whatWouldBeTooLargeTogetherIsSentApart() throws {
            let backend = try Self.tenfold()
            var configuration = Self.configuration(backend, rows: 400, delay: 300)
            configuration.gateway = ["  limits: { body_bytes: 2000 }"]
            let gateway = try Gateway(configuration)
            let sockets = try (0..<3).map { _ in try gateway.connect() }
            // 800 bytes of values each: two of them fit.
            for socket in sockets { socket.send(Self.request([Int](repeating: 1, count: 100), id: 0)) }
            for socket in sockets {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(response.status == 200, "\(response.bodyText)")
            }
            #expect(try backend.requests.map { try Self.rows(of: $0) }.sorted() == [100, 200])
        }

        /// The answer to all of them is larger than an answer may be; each one's is not.
        @Test func anAnswerThatIsTooLargeTogetherIsAskedForApart() throws {
            let backend = try Self.tenfold()
            var configuration = Self.configuration(backend, rows: 4, delay: 2_000)
            configuration.gateway = [
                "  limits: { body_bytes: 120 }",
                "  circuit_breaker: { failure_threshold: 1, reset_timeout_sec: 600 }",
            ]
            let gateway = try Gateway(configuration)
            let values = [1_000_000_000_000, 2_000_000_000_000, 3_000_000_000_000, 4_000_000_000_000]
            let sockets = try values.map { _ in try gateway.connect() }
            for (value, socket) in zip(values, sockets) { socket.send(Self.request([value], id: 0)) }
            for (value, socket) in zip(values, sockets) {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(response.status == 200, "\(response.bodyText)")
                #expect(try JSON(response.bodyText)["outputs"][0]["data"].integers == [value * 10])
            }
            #expect(try backend.requests.map { try Self.rows(of: $0) } == [4, 1, 1, 1, 1])
        }

        /// The endpoint takes no two rows at once: their number is to blame, and no member.
        @Test func whatIsTooMuchForTheEndpointTogetherIsSentApart() throws {
            let tenfold = try Self.tenfold()
            let relay = try Gateway(Self.configuration(tenfold, rows: 1, delay: 1))
            let backend = try ScriptedBackend { connection, request in
                let rows = (try? Self.rows(of: request)) ?? 0
                guard rows == 1 else { return connection.answer(413, "{\"error\": \"too large\"}") }
                let answer = try? relay.post("/v2/models/m/infer", request.bodyText)
                connection.answer(
                    Int(answer?.status ?? 0), answer?.bodyText ?? "", fields: ["Content-Type: application/json"])
            }
            let gateway = try Gateway(Self.configuration(backend, rows: 3, delay: 2_000))
            let sockets = try (0..<3).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request([index], id: index)) }
            for (index, socket) in sockets.enumerated() {
                let response = try #require(try MessageReader(socket).response(to: "POST"))
                #expect(response.status == 200, "\(response.bodyText)")
                #expect(try JSON(response.bodyText)["outputs"][0]["data"].integers == [index * 10])
            }
            #expect(try backend.requests.map { try Self.rows(of: $0) } == [3, 1, 1, 1])
        }

        /// Whether a version is named is the client's word, in a batch as alone; and the two are not the same request.
        @Test func aBatchNamesAVersionOnlyWhereItsMembersDo() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 2, delay: 2_000))
            let sockets = try (0..<4).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() {
                let request = Self.request([index], id: index)
                socket.send(index < 2 ? request : request.replacing("models/m/", with: "models/m/versions/1/"))
            }
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST")?.status == 200) }
            let targets = backend.requests.map(\.target).sorted()
            #expect(targets == ["/v2/models/m/infer", "/v2/models/m/versions/1/infer"])
        }

        @Test func anAnswerOfTheWrongSizeIsNobodysAnswer() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200,
                    "{\"model_name\":\"m\",\"outputs\":[{\"name\":\"y\",\"datatype\":\"INT64\",\"shape\":[1],"
                        + "\"data\":[7]}]}"
                )
            }
            let gateway = try Gateway(Self.configuration(backend, rows: 2, delay: 2_000))
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for (index, socket) in sockets.enumerated() { socket.send(Self.request([index], id: index)) }
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST")?.status == 502) }
        }

        @Test func aMemberThatLeavesDoesNotDisturbTheOthers() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 100, delay: 300))
            let leaving = try gateway.connect()
            let staying = try gateway.connect()
            leaving.send(Self.request([1], id: 1))
            staying.send(Self.request([2], id: 2))
            leaving.close()
            let response = try #require(try MessageReader(staying).response(to: "POST"))
            #expect(try JSON(response.bodyText)["outputs"][0]["data"].integers == [20])
        }

        /// Two requests that are not alike, with parameters chosen so that whatever is summed up of them is the same.
        @Test func requestsMadeToLookAlikeNeverShareACall() throws {
            let backend = try Self.tenfold()
            let gateway = try Gateway(Self.configuration(backend, rows: 8, delay: 300))
            let sockets = try (0..<2).map { _ in try gateway.connect() }
            for (socket, (name, number)) in zip(sockets, [("x", 7), ("y", -1_787_471_600_677_623_350)]) {
                let body =
                    "{\"inputs\":[{\"name\":\"\(name)\",\"datatype\":\"INT64\",\"shape\":[1,1],\"data\":[1]}],"
                    + "\"parameters\":{\"p\":\(number)}}"
                socket.send(
                    "POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
            }
            for socket in sockets { #expect(try MessageReader(socket).response(to: "POST")?.status == 200) }
            let names = try backend.requests.map { try JSON($0.bodyText)["inputs"][0]["name"].text }
            #expect(names.count == 2 && Set(names) == ["x", "y"])
        }

        /// The time of a request counts from its last byte: a slow upload must not use it up.
        @Test func aRequestWhoseBodyCameLateIsServed() throws {
            let backend = try Self.tenfold()
            var configuration = Self.configuration(backend, rows: 8, delay: 10)
            configuration.gateway = ["  routing: { default_timeout_ms: 1000 }"]
            configuration.routes = "[ { prefix: /silent, model: silent } ]"
            configuration.adapters.append("passthrough")
            let silent = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                _ = connection.socket.closedByPeer()
            }
            configuration.models += [
                "  silent:", "    versions:",
                "      \"1\": { endpoints: [ \"\(silent.endpoint)\" ], protocol: passthrough }",
            ]
            let gateway = try Gateway(configuration)
            let slow = try gateway.connect()
            let request = Self.request([4], id: 1)
            slow.send(String(request.dropLast(1)))
            try waitUntil("the head is there") { try gateway.metric("sluice_exchanges_in_flight") == 1 }
            // One with the same limit that nobody answers: when its time is over, so is that of the head.
            #expect(try gateway.get("/silent").status == 504)
            slow.send(String(request.suffix(1)))
            let response = try #require(try MessageReader(slow).response(to: "POST"))
            #expect(response.status == 200, "\(response.bodyText)")
        }

        /// The worker that gathers the batches may have no client of its own.
        @Test func aMemberOfAnotherWorkerIsServedWhileTheGatewayStops() throws {
            let backend = try Self.tenfold()
            var configuration = Self.configuration(backend, rows: 100, delay: 1_000)
            // So many that the client is most likely not with the worker that gathers.
            configuration.workers = 8
            configuration.gateway = ["  routing: { default_timeout_ms: 20000 }"]
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            socket.send(Self.request([3], id: 1))
            try waitUntil("the request has begun") { try gateway.metric("sluice_exchanges_in_flight") == 1 }
            gateway.process.signal(SIGTERM)
            let response = try #require(try MessageReader(socket).response(to: "POST"))
            #expect(response.status == 200, "\(response.bodyText)")
            #expect(try gateway.process.wait() == 0)
        }
    }
}
