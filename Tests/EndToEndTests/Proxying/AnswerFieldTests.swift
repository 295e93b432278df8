import Testing

extension EndToEnd {
    /// Fields that a gateway takes away from an answer, or adds to it, whatever way that takes.
    @Suite struct AnswerFields {
        /// Answers with its fields, and to `/plain` without them.
        private static func backend(_ fields: String...) throws -> ScriptedBackend {
            try ScriptedBackend { connection, request in
                connection.answer(200, "answer", fields: request.target == "/plain" ? [] : fields)
            }
        }

        private static let date = "Mon, 01 Jan 2024 00:00:00 GMT"

        /// Each way that an answer takes: streamed; gathered for the cache; out of that.
        private static func gateway(_ backend: ScriptedBackend, cache: Bool, filters: [String] = []) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.plugins = [
                "  - { name: cache, library: libCache.so, config: { operations: [ other ] } }",
                "  - { name: dates, library: libHeaders.so, config: { response: { set: { date: \"\(date)\" } } } }",
                "  - { name: dateless, library: libHeaders.so, config: { response: { remove: [ date ] } } }",
            ]
            configuration.filters = filters
            if cache { configuration.models.append("    filters: [ cache ]") }
            return try Gateway(configuration)
        }

        private static func isDate(_ value: String) -> Bool {
            let parts = value.split(separator: " ")
            return parts.count == 6 && parts[0].hasSuffix(",") && parts[4].split(separator: ":").count == 3
                && parts[5] == "GMT"
        }

        @Test(arguments: [false, true]) func whatTheEndpointNominatesEndsHere(cache: Bool) throws {
            let backend = try Self.backend("Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "X-End: 2")
            let gateway = try Self.gateway(backend, cache: cache)
            for _ in 0..<2 {
                let answer = try gateway.get("/")
                #expect(answer.bodyText == "answer" && answer.field("x-end") == "2")
                #expect(answer.field("x-hop") == nil && answer.field("keep-alive") == nil)
                #expect(answer.field("connection") == "close")
            }
            #expect(backend.requests.count == (cache ? 1 : 2))
            let client = try gateway.http2()
            client.request(1)
            let answer = try client.answer(1)
            #expect(answer.field("x-end") == "2" && answer.field("x-hop") == nil && answer.field("connection") == nil)
        }

        @Test(arguments: [false, true]) func theDateOfTheEndpointIsTheOnlyOne(cache: Bool) throws {
            let backend = try Self.backend("Date: \(Self.date)")
            let gateway = try Self.gateway(backend, cache: cache)
            #expect(try gateway.get("/").all("date") == [Self.date])
            let client = try gateway.http2()
            client.request(1, "GET", "/other")
            #expect(try client.answer(1).fields.filter { $0.name == "date" }.map(\.value) == [Self.date])
        }

        @Test(arguments: [false, true]) func anAnswerWithoutADateGetsOne(cache: Bool) throws {
            let backend = try Self.backend()
            let gateway = try Self.gateway(backend, cache: cache)
            for _ in 0..<2 {
                let dates = try gateway.get("/").all("date")
                #expect(dates.count == 1 && dates.allSatisfy(Self.isDate))
            }
            let client = try gateway.http2()
            client.request(1)
            let dates = try client.answer(1).fields.filter { $0.name == "date" }.map(\.value)
            #expect(dates.count == 1 && dates.allSatisfy(Self.isDate))
        }

        @Test(arguments: [false, true]) func aDateThatAFilterSetsIsTheOnlyOne(cache: Bool) throws {
            let backend = try Self.backend("Date: Tue, 02 Jan 2024 00:00:00 GMT")
            let gateway = try Self.gateway(backend, cache: cache, filters: ["dates"])
            for path in ["/", "/plain"] {
                #expect(try gateway.get(path).all("date") == [Self.date])
                let client = try gateway.http2()
                client.request(1, "GET", path + "?other")
                #expect(try client.answer(1).fields.filter { $0.name == "date" }.map(\.value) == [Self.date])
            }
        }

        @Test(arguments: [false, true]) func ofADateThatAFilterTakesAwayOneIsLeft(cache: Bool) throws {
            let backend = try Self.backend("Date: \(Self.date)")
            let gateway = try Self.gateway(backend, cache: cache, filters: ["dateless"])
            let dates = try gateway.get("/").all("date")
            #expect(dates.count == 1 && dates.allSatisfy(Self.isDate) && dates != [Self.date])
            let client = try gateway.http2()
            client.request(1, "GET", "/other")
            let streamed = try client.answer(1).fields.filter { $0.name == "date" }.map(\.value)
            #expect(streamed.count == 1 && streamed.allSatisfy(Self.isDate) && streamed != [Self.date])
        }

        @Test func errorsHaveADateToo() throws {
            let backend = try Self.backend()
            let gateway = try Self.gateway(backend, cache: false)
            for request in ["GET / HTTP/1.1\r\n\r\n", "GET nothing HTTP/1.1\r\nHost: a\r\n\r\n"] {
                let answer = try gateway.exchange(request)
                #expect(answer.status == 400 && answer.all("date").count == 1)
                #expect(answer.all("date").allSatisfy(Self.isDate))
            }
            let client = try gateway.http2()
            client.send(
                HTTP2Frame(
                    .headers, flags: 5, stream: 1,
                    HTTP2Client.block([
                        (":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("host", "b"),
                    ])))
            let answer = try client.answer(1)
            #expect(answer.status == 400 && Self.isDate(answer.field("date") ?? ""))
        }

        // MARK: The end of a connection

        @Test func anAnswerBeforeTheEndOfTheRequestSaysThatTheConnectionEnds() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.head(.ordinary)
                connection.answer(401, "no")
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
                let socket = try gateway.connect()
                socket.send("POST / HTTP/1.1\r\nHost: a\r\n\(framing)\r\n\r\n")
                let reader = MessageReader(socket)
                let answer = try #require(try reader.response(to: "POST"))
                #expect(answer.status == 401 && answer.field("connection") == "close")
                #expect(try reader.rest().isEmpty)
            }
        }

        @Test func anAnswerThatWasPromisedToBeTheLastIsThat() throws {
            let rest = Gate()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.head(.ordinary)
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
                _ = try connection.reader.take(100_000, .ordinary)
                rest.wait()
                connection.socket.send("lf")
                _ = connection.socket.closedByPeer()
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let reader = MessageReader(try gateway.connect())
            reader.socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            let head = try #require(try reader.head(.ordinary))
            #expect(head.field("connection") == "close")
            reader.socket.send(String(repeating: "x", count: 100_000))
            rest.open()
            #expect(try text(reader.rest()) == "half")
        }
    }
}
